"""A client of Socket.IO, by the reference library, that remembers what it hears."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import socketio

from tests.api.conftest import Client
from tests.polling import until


class SocketClient:
    """A client; everything it is told, by event, in order."""

    def __init__(self, **options: Any) -> None:
        self.client = socketio.AsyncClient(**{"reconnection": False, **options})
        self.heard: list[tuple[str, Any]] = []
        for event in ("message", "user_join", "user_leave", "error"):
            self.client.on(event, self._hear(event))

    def _hear(self, event: str) -> Any:
        return lambda data: self.heard.append((event, data))

    def of(self, event: str) -> list[Any]:
        return [data for name, data in self.heard if name == event]

    def pieces(self) -> str:
        """The pieces of all answers, joined."""
        return "".join(data["message"]["content"] for data in self.of("message") if data["delta"])

    def wholes(self) -> list[dict[str, Any]]:
        return [data["message"] for data in self.of("message") if not data["delta"]]

    async def hears(self, wholes: int) -> None:
        """Wait until so many whole messages have come."""
        await until(lambda: len(self.wholes()) >= wholes, f"{wholes} whole messages are heard")
        assert len(self.wholes()) == wholes, self.wholes()

    async def call(self, event: str, data: Any = None) -> Any:
        return await self.client.call(event, data, timeout=10)


@asynccontextmanager
async def connect_socket(
    user: Client, *, path: str = "socket.io", url: str | None = None, transports: tuple[str, ...] = ("websocket",)
) -> AsyncIterator[SocketClient]:
    socket = SocketClient()
    await socket.client.connect(url or user.url, auth={"token": user.token}, socketio_path=path, transports=list(transports))
    try:
        yield socket
    finally:
        await socket.client.disconnect()
