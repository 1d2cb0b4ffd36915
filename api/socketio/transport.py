"""For clients of Socket.IO: ``io(url, {auth: {token}})``.

Clients send ``join_chat``, ``leave_chat``, ``message`` and ``stop``, each of which is acknowledged with ``{ok: true, …}`` or ``{ok: false,
error: {detail, code}}``; they hear ``message``, ``user_join``, ``user_leave`` and ``error``. ``docs/sockets.md`` has what they hold.
"""

import asyncio
from http import HTTPStatus
from typing import Literal

import msgspec
from aiohttp import web

from api.http.cors import check_websocket_origin
from api.http.keys import SOCKETS
from core.errors import BadRequest

SENDING_S = 60.0

_QUOTES = '".'


class Transport(msgspec.Struct, frozen=True, kw_only=True):
    """``EIO``: the protocol. ``transport``: ``polling`` or ``websocket``. ``sid``: the session, once there is one."""

    EIO: Literal["4"]
    transport: Literal["polling", "websocket"] = "polling"
    sid: str | None = None


async def socket_io(request: web.Request) -> web.StreamResponse:
    """``/socket.io/``: Socket.IO's transports. Websocket and polling (Engine.IO 4), for a client of Socket.IO."""
    check_websocket_origin(request)
    try:
        async with asyncio.timeout(SENDING_S if request.method == "POST" else None):
            response = await request.app[SOCKETS].handle(request)
    except TimeoutError:
        raise web.HTTPRequestTimeout from None
    if response.status >= HTTPStatus.BAD_REQUEST and isinstance(response, web.Response):
        message = f"{(response.text or '').strip(_QUOTES)}. This address is for clients of Socket.IO."
        raise BadRequest(message)
    return response
