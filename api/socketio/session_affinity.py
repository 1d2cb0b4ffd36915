"""Web processes that share one port: what belongs to a session of Socket.IO is passed on to the process that has it.

Each listens on a socket of its own beside the port, named in the ids of its sessions. Over several machines that is a load balancer's task.
"""

import asyncio
import errno
import re
import shutil
import socket
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import aiohttp
from aiohttp import web

from core.logging import get_logger

PREFIX = "penstock-api-"
STARTING_S = 60
FORWARDED_HEADERS = frozenset({"Content-Type", "Origin", "Access-Control-Request-Method", "Access-Control-Request-Headers"})

log = get_logger(face="socketio")

_SESSION = re.compile(r"([a-z0-9_]{8})\.\S+")


class SessionAffinity:
    """One process among the others; ``name`` is empty where there are none."""

    def __init__(self) -> None:
        self.name = ""
        self._folder: Path | None = None

    async def listen(self, runner: web.AppRunner) -> str:
        """Be reachable for the others, by a name; empty where this machine has no place for a socket."""
        try:
            self._folder = await asyncio.to_thread(_folder)
            await web.UnixSite(runner, self._folder / "socket").start()
        except OSError as error:
            log.warning("clients that poll may reach the wrong process", why=str(error))
            return ""
        self.name = self._folder.name.removeprefix(PREFIX)
        return self.name

    async def close(self) -> None:
        """Be no longer."""
        if self._folder:
            await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)

    async def pass_on(self, request: web.Request, *, max_bytes: int) -> web.StreamResponse | None:
        """Another one's answer; None where the session is nobody else's, or its process is gone."""
        found = _SESSION.fullmatch(request.query.get("sid", ""))
        if not self.name or found is None or found[1] == self.name:
            return None
        connector = aiohttp.UnixConnector(str(Path(tempfile.gettempdir()) / f"{PREFIX}{found[1]}" / "socket"))
        async with aiohttp.ClientSession("http://neighbour", connector=connector, timeout=aiohttp.ClientTimeout(total=None)) as session:
            with suppress(aiohttp.ClientError):
                if request.headers.get("Upgrade", "").lower() == "websocket":
                    return await _websocket(request, session, max_bytes)
                return await _poll(request, session)
        return None


def _folder() -> Path:
    """A folder that only we may look into. Those of processes that were killed are taken away."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with socket.socket(socket.AF_UNIX) as there, suppress(OSError):  # somebody else's, or just being made
            made = folder.stat().st_mtime
            if there.connect_ex(str(folder / "socket")) == errno.ECONNREFUSED and time.time() - made > STARTING_S:
                shutil.rmtree(folder, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=PREFIX))


async def _poll(request: web.Request, session: aiohttp.ClientSession) -> web.Response:
    headers = {name: value for name, value in request.headers.items() if name in FORWARDED_HEADERS} | {"Accept-Encoding": "identity"}
    async with session.request(request.method, request.rel_url, data=await request.read(), headers=headers) as answer:
        shown = {name: value for name, value in answer.headers.items() if name.startswith(("Access-Control-", "Content-Type"))}
        return web.Response(status=answer.status, body=await answer.read(), headers=shown)


async def _websocket(request: web.Request, session: aiohttp.ClientSession, max_bytes: int) -> web.WebSocketResponse:
    async with session.ws_connect(request.rel_url, max_msg_size=max_bytes) as there:
        here = web.WebSocketResponse(max_msg_size=max_bytes)
        await here.prepare(request)
        pumps = (asyncio.create_task(_pump(here, there)), asyncio.create_task(_pump(there, here)))
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
        await here.close()
    return here


_Side = web.WebSocketResponse | aiohttp.ClientWebSocketResponse


async def _pump(source: _Side, target: _Side) -> None:
    async for message in source:
        if message.type is aiohttp.WSMsgType.TEXT:
            await target.send_str(message.data)
        elif message.type is aiohttp.WSMsgType.BINARY:
            await target.send_bytes(message.data)
