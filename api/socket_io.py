"""The address of Socket.IO's transports."""

from aiohttp import web

from api.keys import SOCKETS


async def socket_io(request: web.Request) -> web.StreamResponse:
    """``/socket.io/`` and ``/ws/socket.io/``."""
    return await request.app[SOCKETS].handle(request)
