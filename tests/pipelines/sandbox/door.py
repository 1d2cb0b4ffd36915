"""A door of the broker's on this machine, and a host behind it."""

import asyncio
import base64
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any
from urllib.parse import urlsplit

from core.settings import Settings
from pipelines.sandbox.broker.broker import Broker
from pipelines.sandbox.outcome import Limits
from tests.web_pages import Names, Site

LIMITS = Limits()


class Door:
    """A broker that serves on a port of this machine, and what it says to raw bytes."""

    def __init__(self, settings: Settings, names: Names) -> None:
        self.broker = Broker(settings, names)
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.socket.settimeout(0)

    @contextmanager
    def grant(self, *hosts: str, limits: Limits = LIMITS) -> Iterator[str]:
        with self.broker.grant(hosts, limits, self.socket) as proxy:
            address = urlsplit(proxy)
            yield base64.b64encode(f"{address.username}:{address.password}".encode()).decode()

    async def connect(self, said: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection(*self.socket.getsockname())
        writer.write(said.encode())
        return reader, writer

    async def ask(self, said: str) -> str:
        """All of the answer, as far as it comes."""
        reader, writer = await self.connect(said)
        try:
            return (await reader.read(-1)).decode()
        finally:
            writer.close()

    async def get(self, token: str, url: str, *more: str) -> str:
        return await self.ask("\r\n".join((f"GET {url} HTTP/1.1", "Host: x", f"Proxy-Authorization: Basic {token}", *more, "", "")))

    async def tunnel(self, token: str, target: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, str]:
        reader, writer = await self.connect(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\nProxy-Authorization: Basic {token}\r\n\r\n")
        return reader, writer, (await reader.readuntil(b"\r\n\r\n")).decode()


@asynccontextmanager
async def opened(names: Names, **settings: Any) -> AsyncIterator[Door]:
    door = Door(Settings(**settings), names)
    async with await door.broker.serve(door.socket):
        yield door
    await door.broker.close()


def at(site: Site, path: str = "/") -> str:
    return f"http://page.test:{site.port}{path}"


def status(answer: str) -> int:
    return int(answer.split()[1])
