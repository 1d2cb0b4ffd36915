"""Shared chats: shared and closed by their owner, read by whoever is signed in and has the link."""

from typing import Any

import msgspec
from aiohttp import web

from api.http.authentication import wants_page
from api.http.json import json_response, raw_json, read
from api.http.keys import PRINCIPAL, SERVICES, SETTINGS
from api.http.static_files import read_page
from api.rest.chats.response_cache import render_chat
from api.rest.chats.schemas import ChatSummary
from api.rest.chats.transfer import CloneChat

PAGE = read_page("shared")
PAGE_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
    "Vary": "Accept",
}
JSON_HEADERS = {"Cache-Control": "no-store", "Vary": "Accept"}


class ShareResponse(ChatSummary, frozen=True, kw_only=True):
    """A chat that is shared now. ``url``: where whoever is signed in reads it."""

    share_id: str
    url: str


class ShareOwner(msgspec.Struct, frozen=True, kw_only=True):
    """Who shares."""

    id: str
    name: str


class SharedChat(msgspec.Struct, frozen=True, kw_only=True):
    """A chat as it was at ``shared_at``. ``id`` is its share's. Times are Unix seconds."""

    id: str
    share_id: str
    user_id: str
    user: ShareOwner
    title: str
    chat: dict[str, Any]
    created_at: int
    updated_at: int
    shared_at: int


async def share(request: web.Request) -> web.Response:
    """``POST /api/chats/{chat_id}/share``: share a chat as it is now. Again: the same address shows what it is then."""
    chat, share_id = await request.app[SERVICES].shares.share(request[PRINCIPAL], request.match_info["chat_id"])
    public = request.app[SETTINGS].public_url.rstrip("/") or f"{request.scheme}://{request.host}"
    row = msgspec.structs.asdict(ChatSummary.of(chat))
    return json_response(ShareResponse(**{**row, "share_id": share_id}, url=f"{public}/s/{share_id}"))


async def unshare(request: web.Request) -> web.Response:
    """``DELETE /api/chats/{chat_id}/share``: share a chat no longer. Says whether it was shared."""
    return json_response(await request.app[SERVICES].shares.unshare(request[PRINCIPAL], request.match_info["chat_id"]))


async def get(request: web.Request) -> web.Response:
    """``GET /api/chats/share/{share_id}``: a shared chat."""
    return await _shared(request)


async def open_(request: web.Request) -> web.Response:
    """``GET /s/{share_id}``: a shared chat. Browsers get a page, on which a visitor signs in first."""
    if wants_page(request):
        return web.Response(text=PAGE, content_type="text/html", headers=PAGE_HEADERS)
    return await _shared(request)


async def clone(request: web.Request) -> web.Response:
    """``POST /api/chats/{share_id}/clone/shared``: a copy of a shared chat among one's own."""
    wanted = await read(request, CloneChat)
    copy = await request.app[SERVICES].chat_copies.clone_shared(request[PRINCIPAL], request.match_info["share_id"], wanted.title)
    return raw_json(await render_chat(copy), status=201)


async def _shared(request: web.Request) -> web.Response:
    found, owner = await request.app[SERVICES].shares.get(request.match_info["share_id"])
    kept = {name: value for name, value in msgspec.structs.asdict(found).items() if name != "chat_id"}
    return json_response(SharedChat(**kept, share_id=found.id, user=ShareOwner(id=owner.id, name=owner.name)), headers=JSON_HEADERS)
