"""Copies of chats over REST: one beside itself, all out into a file, and out of a file again."""

from typing import Annotated, Any

import msgspec
from aiohttp import web

from api.http.disconnects import ClientGone
from api.http.errors import report_bug
from api.http.json import json_response, raw_json, read
from api.http.keys import PRINCIPAL, SERVICES
from api.rest.chats.response_cache import render_chat
from api.rest.chats.schemas import ChatSummary
from core.errors import PenstockError
from core.models.chats import ChatImport

MAX_IMPORTED_CHATS = 10_000

ImportList = Annotated[list[ChatImport], msgspec.Meta(max_length=MAX_IMPORTED_CHATS)]


class CloneChat(msgspec.Struct, frozen=True, kw_only=True):
    """``title``: the copy's; without it, or without a body: ``Clone of …``."""

    title: str | None = None


class ChatImports(msgspec.Struct, frozen=True, kw_only=True):
    """What an export wrote, inside an object."""

    chats: ImportList


IMPORT_BODY: Any = ImportList | ChatImports


async def clone(request: web.Request) -> web.Response:
    """``POST /api/chats/{chat_id}/clone``: a copy of a chat as it is now."""
    wanted = await read(request, CloneChat)
    copy = await request.app[SERVICES].chat_copies.clone(request[PRINCIPAL], request.match_info["chat_id"], wanted.title)
    return raw_json(await render_chat(copy), status=201)


async def import_(request: web.Request) -> web.Response:
    """``POST /api/chats/import``: import chats. New ones out of what an export wrote, all or none, with their times and marks."""
    given = await read(request, IMPORT_BODY)
    made = await request.app[SERVICES].chats.import_chats(request[PRINCIPAL], given.chats if isinstance(given, ChatImports) else given)
    return json_response([ChatSummary.of(chat) for chat in made], status=201)


async def export(request: web.Request) -> web.StreamResponse:
    """``GET /api/chats/all``: export all of one's own chats. Whole, newest change first; written out while it is read."""
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    opening = b"["
    try:
        async for details in request.app[SERVICES].chat_copies.all(request[PRINCIPAL]):
            if not response.prepared:
                await response.prepare(request)
            for detail in details:
                await response.write(opening + await render_chat(detail))
                opening = b","
        if not response.prepared:
            return json_response([])
        await response.write(b"[]" if opening == b"[" else b"]")
    except ConnectionResetError:
        raise ClientGone from None
    except PenstockError as error:
        raise _broken_off(request, response, error) from None
    return response


def _broken_off(request: web.Request, response: web.StreamResponse, error: PenstockError) -> Exception:
    """Half a list must not look like a whole one."""
    if not response.prepared:
        return error
    report_bug(error)
    if request.transport:
        request.transport.abort()
    return ClientGone()
