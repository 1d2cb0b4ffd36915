"""The three search engines, small: each speaks its own protocol, and fails on demand. Sources: as of pipelines.web_search.engines."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

KEY = "a key that nobody is told"


class Engines:
    """``found``: (title, address, snippet). ``status``, ``headers`` and ``body``: answered instead. ``seen``: what was asked, and how."""

    def __init__(self, found: tuple[tuple[str, str, str], ...] = ()) -> None:
        self.found = found
        self.status = 200
        self.headers: dict[str, str] = {}
        self.body: bytes | None = None
        self.seen: list[tuple[str, Any]] = []
        self.url = ""

    @asynccontextmanager
    async def serving(self) -> AsyncIterator["Engines"]:
        """Serve on loopback while the block runs."""
        app = web.Application()
        app.router.add_get("/search", self._searxng)
        app.router.add_get("/res/v1/web/search", self._brave)
        app.router.add_post("/search", self._tavily)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield self
        finally:
            await runner.cleanup()

    async def _searxng(self, request: web.Request) -> web.Response:
        if request.query.get("format") != "json":
            return web.Response(status=403)
        self.seen.append(("searxng", dict(request.query)))
        rows = [{"title": title, "url": link, "content": snippet, "engine": "e"} for title, link, snippet in self.found]
        return self._answer({"query": request.query["q"], "number_of_results": 0, "results": rows})

    async def _brave(self, request: web.Request) -> web.Response:
        if request.headers.get("X-Subscription-Token") != KEY:
            return web.json_response({"error": {"code": "SUBSCRIPTION_TOKEN_INVALID"}}, status=422)
        self.seen.append(("brave", dict(request.query)))
        rows = [{"title": title, "url": link, "description": snippet} for title, link, snippet in self.found]
        return self._answer({"type": "search", **({"web": {"results": rows}} if rows else {})})

    async def _tavily(self, request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != f"Bearer {KEY}":
            return web.json_response({"detail": {"error": "Unauthorized: missing or invalid API key."}}, status=401)
        self.seen.append(("tavily", await request.json()))
        rows = [{"title": title, "url": link, "content": snippet, "score": 0.5} for title, link, snippet in self.found]
        return self._answer({"results": rows, "response_time": 0.1})

    def _answer(self, whole: dict[str, Any]) -> web.Response:
        if self.body is not None or self.status != 200:
            return web.Response(status=self.status, headers=self.headers, body=self.body or b"{}")
        return web.json_response(whole)
