"""The address of Socket.IO's transports."""

from typing import Literal

import msgspec
from aiohttp import web

from api.keys import SOCKETS


class Transport(msgspec.Struct, frozen=True, kw_only=True):
    """``EIO``: the protocol. ``transport``: ``polling`` or ``websocket``. ``sid``: the session, once there is one."""

    EIO: Literal["4"]
    transport: Literal["polling", "websocket"] = "polling"
    sid: str | None = None


async def socket_io(request: web.Request) -> web.StreamResponse:
    """``/socket.io/``: Socket.IO's transports. Websocket and polling (Engine.IO 4), for a client of Socket.IO."""
    return await request.app[SOCKETS].handle(request)
