"""DuckDuckGo's page of results without scripts, behind a proxy that leads all names there: ddgs asks no other address than its own.

The page has the shape that ddgs 9.16 reads: a block of class ``body`` with a heading, and a snippet that is a link.
"""

import asyncio
import html
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trustme
from aiohttp import web

from tests.proxy import pass_on

HOST = "html.duckduckgo.com"


class DuckDuckGoServer:
    """``found``: (title, address, snippet). ``status`` and ``body``: answered instead. ``seen``: forms that were posted.

    ``proxy``: its URL. ``authorities``: the file of certificates that makes it trusted. ``hosts``: that the proxy was asked for.
    """

    def __init__(self, found: tuple[tuple[str, str, str], ...] = ()) -> None:
        self.found = found
        self.status = 200
        self.body: str | None = None
        self.silent = False
        self.seen: list[dict[str, Any]] = []
        self.hosts: list[str] = []
        self.proxy = ""
        self.authorities = ""
        self._port = 0
        self._gone = asyncio.Event()
        self._writers: set[asyncio.StreamWriter] = set()

    @asynccontextmanager
    async def serving(self, folder: Path) -> AsyncIterator["DuckDuckGoServer"]:
        """Serve while the block runs."""
        authority, tls = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(HOST).configure_cert(tls)
        self.authorities = str(folder / "authorities.pem")
        authority.cert_pem.write_to_path(self.authorities)
        app = web.Application()
        app.router.add_post("/html/", self._answer)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
        self._port = runner.addresses[0][1]
        server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        self.proxy = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            self._gone.set()
            server.close()
            await runner.cleanup()
            for writer in self._writers:
                writer.transport.abort()

    async def _answer(self, request: web.Request) -> web.Response:
        self.seen.append(dict(await request.post()))
        if self.silent:
            await self._gone.wait()
        rows = "".join(
            f'<div class="result"><div class="links_main result__body"><h2><a href="{html.escape(link)}">{title}</a></h2>'
            f'<a class="result__snippet" href="{html.escape(link)}">{snippet}</a></div></div>'
            for title, link, snippet in self.found
        )
        text = f"<html><body><div>{rows}</div></body></html>" if self.body is None else self.body
        return web.Response(status=self.status, text=text, content_type="text/html")

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A proxy's CONNECT, to the one server whatever the name."""
        head = await reader.readuntil(b"\r\n\r\n")
        self.hosts.append(head.split()[1].decode())
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self._port)
        self._writers |= {writer, there_writer}
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await asyncio.gather(pass_on(reader, there_writer), pass_on(there_reader, writer))
