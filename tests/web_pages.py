"""A site on loopback that serves pages and misbehaves, and names that are looked up nowhere."""

import asyncio
import gzip
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Names(AbstractResolver):
    """``addresses``: of each name. ``asked``: the names, each time."""

    def __init__(self, **addresses: list[str]) -> None:
        self.addresses = {name.replace("_", "."): found for name, found in addresses.items()}
        self.asked: list[str] = []

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET) -> list[ResolveResult]:
        self.asked.append(host)
        if host not in self.addresses:
            raise OSError(socket.EAI_NONAME, "Name or service not known")
        del family
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in self.addresses[host]
        ]

    async def close(self) -> None:
        """Nothing to close."""


class Site:
    """``pages``: what is answered at a path. ``seen``: paths that were asked for, with their headers. ``gone``: set at its end."""

    def __init__(self) -> None:
        self.pages: dict[str, Handler | web.Response] = {}
        self.seen: list[tuple[str, dict[str, str]]] = []
        self.port = 0
        self.gone = asyncio.Event()

    @property
    def paths(self) -> list[str]:
        return [path for path, _ in self.seen]

    @asynccontextmanager
    async def serving(self, tls: ssl.SSLContext | None = None) -> AsyncIterator["Site"]:
        """Serve while the block runs."""
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
        self.port = runner.addresses[0][1]
        try:
            yield self
        finally:
            self.gone.set()
            await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.seen.append((request.path, dict(request.headers)))
        page = self.pages.get(request.path)
        if page is None:
            return web.Response(status=404)
        return (
            web.Response(status=page.status, headers=page.headers, body=page.body)
            if isinstance(page, web.Response)
            else await page(request)
        )

    async def silent(self, _request: web.Request) -> web.StreamResponse:
        """Takes the question and says nothing."""
        await self.gone.wait()
        return web.Response()

    async def dripping(self, request: web.Request) -> web.StreamResponse:
        """A page without an end, a byte at a time."""
        response = web.StreamResponse(headers={"Content-Type": "text/html"})
        await response.prepare(request)
        while not self.gone.is_set():
            await response.write(b"a")
            await asyncio.sleep(0.02)
        return response

    async def endless(self, request: web.Request) -> web.StreamResponse:
        """As fast as it is taken, without saying how much."""
        response = web.StreamResponse(headers={"Content-Type": "text/html"})
        await response.prepare(request)
        while not self.gone.is_set():
            await response.write(b"a" * 65_536)
        return response

    async def breaking(self, request: web.Request) -> web.StreamResponse:
        """Breaks off in the middle."""
        response = web.StreamResponse(headers={"Content-Type": "text/html", "Content-Length": "1000"})
        await response.prepare(request)
        await response.write(b"<html>")
        assert request.transport is not None
        request.transport.abort()
        return response


def html(text: str, **headers: str) -> web.Response:
    return web.Response(text=text, content_type="text/html", headers=headers)


def typed(body: bytes, kind: str, **headers: Any) -> web.Response:
    return web.Response(body=body, headers={"Content-Type": kind, **headers})


def moved(to: str, status: int = 302) -> web.Response:
    return web.Response(status=status, headers={"Location": to})


def packed(size: int) -> web.Response:
    """Much of nothing in few bytes."""
    return typed(gzip.compress(b" " * size), "text/html", **{"Content-Encoding": "gzip"})
