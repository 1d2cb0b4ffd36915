"""A real Ollama, small: it lists, pulls and answers, and fails on demand. Source: Ollama's API, docs/api.md."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

CREATED = "2023-11-09T20:00:00.123456789Z"
LAYER_BYTES = 1_000


class Ollama:
    """``library``: what can be pulled, as name -> number of layers; ``models``: what is there.

    Each layer's second half waits for ``go`` where that is given. ``pulled``: what was asked for; ``left``: pulls whose client went away.
    """

    def __init__(self, *, models: tuple[str, ...] = (), library: dict[str, int] | None = None) -> None:
        self.models = list(models)
        self.library = library or {}
        self.blobs: dict[str, int] = {}
        self.pulled: list[dict[str, Any]] = []
        self.left = 0
        self.fails_at: str | None = None
        self.go: asyncio.Semaphore | None = None
        self.url = ""

    @asynccontextmanager
    async def serving(self, port: int = 0) -> AsyncIterator["Ollama"]:
        """Serve on loopback while the block runs."""
        app = web.Application()
        app.router.add_get("/api/tags", self._tags)
        app.router.add_post("/api/pull", self._pull)
        app.router.add_post("/v1/chat/completions", self._complete)
        runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield self
        finally:
            await runner.cleanup()

    async def _tags(self, _request: web.Request) -> web.Response:
        return web.json_response({"models": [{"name": name, "model": name, "modified_at": CREATED, "size": 4096} for name in self.models]})

    async def _pull(self, request: web.Request) -> web.StreamResponse:
        asked = await request.json()
        self.pulled.append(asked)
        name = asked.get("name") or asked["model"]
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        await response.prepare(request)
        await _say(response, status="pulling manifest")
        if name not in self.library:
            await _say(response, error="pull model manifest: file does not exist")
            return response
        try:
            for number in range(self.library[name]):
                await self._layer(response, f"sha256:{name}-{number}")
        except (ConnectionError, asyncio.CancelledError):
            self.left += 1
            raise
        if self.fails_at:
            return response
        self.models.append(name)
        await _say(response, status="verifying sha256 digest")
        await _say(response, status="success")
        return response

    async def _layer(self, response: web.StreamResponse, digest: str) -> None:
        """What is there already is told at once, as Ollama does for what an earlier pull brought."""
        while (completed := self.blobs.get(digest, 0)) < LAYER_BYTES:
            await _say(response, status=f"pulling {digest}", digest=digest, total=LAYER_BYTES, completed=completed)
            if self.go and completed:
                await self.go.acquire()
            if self.fails_at == digest and completed:
                await _say(response, error="max retries exceeded: EOF")
                return
            self.blobs[digest] = completed + LAYER_BYTES // 2
        await _say(response, status=f"pulling {digest}", digest=digest, total=LAYER_BYTES, completed=LAYER_BYTES)

    async def _complete(self, request: web.Request) -> web.Response:
        body = await request.json()
        message = {"role": "assistant", "content": f"{body['model']} heard {body['messages'][-1]['content']}"}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        return web.json_response({"model": body["model"], "choices": [choice], "usage": usage})


async def _say(response: web.StreamResponse, **line: Any) -> None:
    await response.write(json.dumps(line).encode() + b"\n")
