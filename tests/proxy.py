"""A network between a client and a server that can be cut."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit


class Proxy:
    """Passes bytes on. ``cut`` ends all connections at once, without a word; where it ``hangs_up``, each ends once something is asked."""

    def __init__(self, url: str) -> None:
        self._host, self._port = urlsplit(url).hostname, urlsplit(url).port
        self._writers: set[asyncio.StreamWriter] = set()
        self.url = ""
        self.open = True
        self.hangs_up = False

    def cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        if not self.open:
            writer.transport.abort()
            return
        there_reader, there_writer = await asyncio.open_connection(self._host, self._port)
        both = {writer, there_writer}
        self._writers |= both
        await asyncio.gather(pass_on(reader, there_writer, lambda: not self.hangs_up), pass_on(there_reader, writer))
        self._writers -= both


async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, may: Callable[[], bool] = lambda: True) -> None:
    """Until it ends, or ``may`` not go on."""
    with suppress(OSError):
        while (data := await reader.read(65_536)) and may():
            writer.write(data)
            await writer.drain()
    with suppress(OSError):
        writer.close()
        await writer.wait_closed()


@asynccontextmanager
async def proxy_to(url: str) -> AsyncIterator[Proxy]:
    """A proxy on a free port while the block runs."""
    proxy = Proxy(url)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield proxy
    finally:
        server.close()
        proxy.cut()
        await server.wait_closed()
