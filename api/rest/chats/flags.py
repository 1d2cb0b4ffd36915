"""Marks on chats over REST: pinned, archived. They do not change a chat's time."""

import msgspec
from aiohttp import web

from api.http.json import json_response, read
from api.http.keys import PRINCIPAL, SERVICES
from api.rest.chats.schemas import ChatSummary


class Pin(msgspec.Struct, frozen=True, kw_only=True):
    """What is wanted; without it, or without a body: the other way round than it was."""

    pinned: bool | None = None


class Archive(msgspec.Struct, frozen=True, kw_only=True):
    """What is wanted; without it, or without a body: the other way round than it was."""

    archived: bool | None = None


async def pin(request: web.Request) -> web.Response:
    """``POST /api/chats/{chat_id}/pin``: pin a chat, or let it go again."""
    return await _marked(request, "pinned", (await read(request, Pin)).pinned)


async def pinned(request: web.Request) -> web.Response:
    """``GET /api/chats/{chat_id}/pinned``: whether a chat is pinned."""
    chat = await request.app[SERVICES].chats.readable(request[PRINCIPAL], request.match_info["chat_id"])
    return json_response(chat.pinned)


async def archive(request: web.Request) -> web.Response:
    """``POST /api/chats/{chat_id}/archive``: put a chat into the archive, or take it out again."""
    return await _marked(request, "archived", (await read(request, Archive)).archived)


async def archive_all(request: web.Request) -> web.Response:
    """``POST /api/chats/archive/all``: put all of one's own chats into the archive."""
    await request.app[SERVICES].chats.archive_all(request[PRINCIPAL], archived=True)
    return json_response(True)  # noqa: FBT003 - the whole body, as clients know it


async def unarchive_all(request: web.Request) -> web.Response:
    """``POST /api/chats/unarchive/all``: take all of one's own chats out of the archive."""
    await request.app[SERVICES].chats.archive_all(request[PRINCIPAL], archived=False)
    return json_response(True)  # noqa: FBT003 - the same


async def _marked(request: web.Request, mark: str, value: bool | None) -> web.Response:  # noqa: FBT001 - one of three values
    return json_response(
        ChatSummary.of(await request.app[SERVICES].chats.mark(request[PRINCIPAL], request.match_info["chat_id"], mark, value=value))
    )
