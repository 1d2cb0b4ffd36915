"""python-socketio's server over Redis, with what it leaves to be wished: its ways in are guarded, and closed polls do not wait."""

import asyncio
from itertools import cycle
from typing import Any

import engineio
import socketio
from engineio.async_drivers import aiohttp as driver

from api.socketio.json import SocketJson
from core.logging import get_logger
from core.redis.client import connection_options, split_addresses

MAX_PACKET_BYTES = 4 * 1_048_576
NAMESPACE = "/"
PAUSE_S = 0.05
PACKETS = tuple("0123456")  # a text frame begins with its packet's type
NOT_UNDERSTOOD = {"detail": "This is no packet of Socket.IO that can be read.", "code": "bad_request"}

log = get_logger(face="socketio")


class WebSocket(driver.WebSocket):  # type: ignore[misc]  # the library has no types
    """A frame that is no packet ends the connection; by itself the library would answer by HTTP in the middle of it."""

    async def wait(self) -> str | bytes:
        """The next frame. Raises OSError at the end."""
        frame: str | bytes = await super().wait()
        if isinstance(frame, str) and not frame.startswith(PACKETS):
            message = "The frame is no packet."
            raise OSError(message)
        return frame


class SocketManager(socketio.AsyncRedisManager):  # type: ignore[misc]  # the library has no types
    """What processes tell each other, by way of Redis; of a cluster any node does, because what one is told all publish."""

    def __init__(self, redis_url: str) -> None:
        self._addresses = cycle(split_addresses(redis_url))
        super().__init__(next(self._addresses), channel=f"socketio:{connection_options(redis_url)['db']}")

    def _redis_connect(self) -> None:
        """It is called again where an address does not answer: then the next one is tried."""
        super()._redis_connect()
        self.redis_url = next(self._addresses)


class SocketServer(socketio.AsyncServer):  # type: ignore[misc]  # the library has no types
    """``name`` stands in front of its sessions' ids, where it is not empty."""

    def __init__(self, redis_url: str) -> None:
        self.name = ""
        super().__init__(
            async_mode="aiohttp",
            client_manager=SocketManager(redis_url),
            json=SocketJson,
            cors_allowed_origins=[],  # api.http.cors sees to that
            max_http_buffer_size=MAX_PACKET_BYTES,
        )
        self.eio._async = {**self.eio._async, "websocket": WebSocket}  # noqa: SLF001 - it has no other door for one's own driver
        self._new_id = self.eio.generate_id
        self.eio.generate_id = self._session_id

    def engine_socket(self, sid: str) -> Any:
        """The transport of a connection, None where it is gone."""
        return self.eio.sockets.get(self.manager.eio_sid_from_sid(sid, NAMESPACE))

    async def close_sockets(self) -> None:
        """Clients are told to come back, to another process."""
        sockets = list(self.eio.sockets.values())
        await asyncio.gather(*(socket.close(wait=False) for socket in sockets), return_exceptions=True)
        for socket in sockets:
            socket.queue.put_nowait(None)  # the end of what is to be sent: websockets are closed, polls are answered

    async def close(self) -> None:
        """End what runs in the background."""
        await self.shutdown()
        while self.manager_initialized and not self.manager.thread.done():
            self.manager.thread.cancel()  # more than once: redis-py loses one that comes while it connects
            await asyncio.wait((self.manager.thread,), timeout=PAUSE_S)
        if self.manager.redis is not None:
            await self.manager.pubsub.aclose()
            await self.manager.redis.aclose()

    def _session_id(self) -> str:
        return f"{self.name}.{self._new_id()}" if self.name else self._new_id()

    async def _handle_eio_message(self, eio_sid: str, data: str | bytes) -> None:
        """What cannot be read is no bug of ours, and its sender is told."""
        try:
            await super()._handle_eio_message(eio_sid, data)
        except Exception as error:  # noqa: BLE001 - whatever the parsing comes upon
            log.info("packet not understood", why=str(error))
            sid = self.manager.sid_from_eio_sid(eio_sid, NAMESPACE)
            if sid:
                await self.emit("error", NOT_UNDERSTOOD, to=sid, namespace=NAMESPACE, ignore_queue=True)

    async def _handle_eio_disconnect(self, eio_sid: str, reason: str) -> None:
        """A poll that waits would wait for the next ping, and its client with it."""
        await super()._handle_eio_disconnect(eio_sid, reason)
        socket = self.eio.sockets.get(eio_sid)
        if socket and not socket.upgraded:
            socket.queue.put_nowait(engineio.packet.Packet(engineio.packet.NOOP))
