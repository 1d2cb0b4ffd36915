"""Chats: listed, found, read and written; their messages, marks, copies and shares."""

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from aiohttp import web

from api.http.json import json_response, raw_json, read, read_query
from api.http.keys import PRINCIPAL, RESPONSE_CACHE, SERVICES
from api.rest.chats.response_cache import render_chat
from api.rest.chats.schemas import ChatSummary

MAX_PAGE = 1_000
PAGE = 60

Page = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
Limit = Annotated[int, msgspec.Meta(ge=1, le=MAX_PAGE)]


class ListMarked(msgspec.Struct, frozen=True, kw_only=True):
    """``limit`` many (60 where only a page is asked for), after the chat whose id is ``after``, or as the page of that number, from 1."""

    limit: Limit | None = None
    after: str | None = None
    page: Page | None = None


class ListChats(ListMarked, frozen=True, kw_only=True):
    """Also: only those that are pinned or archived, or that are not."""

    pinned: bool | None = None
    archived: bool | None = None


class SearchChats(msgspec.Struct, frozen=True, kw_only=True):
    """``text``: what stands in the title or a message, whatever its case."""

    text: Annotated[str, msgspec.Meta(max_length=1_000)] = ""
    limit: Limit = PAGE
    page: Page = 1


class ChatUpsert(msgspec.Struct, frozen=True, kw_only=True):
    """A chat as clients post it: any JSON object. What it must hold, the service says."""

    chat: dict[str, Any]


async def list_(request: web.Request) -> web.Response:
    """``GET /api/chats/``: one's own chats, newest change first: whole, or a page of them; pinned and archived ones among them."""
    wanted = read_query(request, ListChats)
    marks = {"pinned": wanted.pinned, "archived": wanted.archived}
    return await _listed(request, wanted, {mark: value for mark, value in marks.items() if value is not None})


async def list_pinned(request: web.Request) -> web.Response:
    """``GET /api/chats/pinned``: one's own chats that are pinned."""
    return await _listed(request, read_query(request, ListMarked), {"pinned": True})


async def list_archived(request: web.Request) -> web.Response:
    """``GET /api/chats/archived``: one's own chats that are archived."""
    return await _listed(request, read_query(request, ListMarked), {"archived": True})


async def search(request: web.Request) -> web.Response:
    """``GET /api/chats/search``: one's own chats whose title or a message of which holds a text, newest change first."""
    wanted = read_query(request, SearchChats)
    skip = (wanted.page - 1) * wanted.limit
    found = await request.app[SERVICES].chat_search.find(request[PRINCIPAL], wanted.text, limit=wanted.limit, skip=skip)
    return json_response([ChatSummary.of(chat) for chat in found])


async def get(request: web.Request) -> web.Response:
    """``GET /api/chats/{chat_id}``: a chat with its messages."""
    return raw_json(await request.app[RESPONSE_CACHE].get(request[PRINCIPAL], request.match_info["chat_id"]))


async def create(request: web.Request) -> web.Response:
    """``POST /api/chats/new``: begin a chat."""
    posted = await read(request, ChatUpsert)
    return raw_json(await render_chat(await request.app[SERVICES].chats.create(request[PRINCIPAL], posted.chat)), status=201)


async def update(request: web.Request) -> web.Response:
    """``POST /api/chats/{chat_id}``: change a chat. A shallow merge: what is not sent stays as it is.

    So do all messages where neither ``messages`` nor ``history`` is sent. Of those that a sent one lacks, only such go as you have read in
    the chat or sent to it before: what somebody else said meanwhile stays.
    """
    posted = await read(request, ChatUpsert)
    return raw_json(
        await render_chat(await request.app[SERVICES].chats.update(request[PRINCIPAL], request.match_info["chat_id"], posted.chat))
    )


async def delete(request: web.Request) -> web.Response:
    """``DELETE /api/chats/{chat_id}``: delete a chat with its messages."""
    await request.app[SERVICES].chats.delete(request[PRINCIPAL], request.match_info["chat_id"])
    return json_response(True)  # noqa: FBT003 - the whole body, as clients know it


async def delete_all(request: web.Request) -> web.Response:
    """``DELETE /api/chats/``: delete all of one's own chats. Answers that still run are stopped."""
    await request.app[SERVICES].chats.delete_all(request[PRINCIPAL].id)
    return json_response(True)  # noqa: FBT003 - the whole body, as clients know it


async def _listed(request: web.Request, wanted: ListMarked, marks: Mapping[str, bool]) -> web.Response:
    limit = wanted.limit or (PAGE if wanted.page else None)
    skip = (wanted.page - 1) * (limit or 0) if wanted.page else 0
    found = await request.app[SERVICES].chats.list(request[PRINCIPAL], limit=limit, after=wanted.after, skip=skip, marks=marks)
    return json_response([ChatSummary.of(chat) for chat in found])
