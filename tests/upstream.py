"""A real OpenAI-compatible server, small: it echoes, and fails on demand.

``python -m tests.upstream PORT`` runs it as a process of its own.
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from tests import tool_models

TOLD = {"token": "H", "logprob": -0.5, "bytes": [72], "top_logprobs": [{"token": "H", "logprob": -0.5, "bytes": [72]}]}
DETAILED = {
    "prompt_tokens": 9,
    "completion_tokens": 4,
    "total_tokens": 13,
    "prompt_tokens_details": {"cached_tokens": 8},
    "completion_tokens_details": {"reasoning_tokens": 2},
}
KNOWN: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"role": "assistant", "content": "H"}, {"logprobs": {"content": [TOLD], "refusal": None}}),
    ({"content": "i"}, {"logprobs": {"content": [TOLD], "refusal": None}}),
    ({"tool_calls": [{"index": 0, "id": "c1", "type": "function", "function": {"name": "look", "arguments": ""}}]}, {}),
    ({"tool_calls": [{"index": 0, "function": {"arguments": '{"at":1}'}}]}, {}),
    ({}, {"finish_reason": "tool_calls"}),
]
FAILURES: dict[str, tuple[int, str, str, dict[str, str], str | None]] = {
    "limited": (429, "Slow down.", "rate_limit_exceeded", {"Retry-After": "7"}, None),
    "failing": (500, "The model fell over.", "server_error", {}, None),
    "picky": (400, "temperature is too hot", "invalid_value", {}, "temperature"),
}
WORDS = [f"word{number} " for number in range(64)]
PAUSES_S = {"slow": 0.02, "dripping": 0.1}  # between two words
MAX_DIMENSIONS = 4096


class Upstream:
    """``seen``: the requests that came, as (body, authorization). A model's name says how it behaves: see ``_complete``.

    ``most``: the highest number of completions that were being made at once.
    """

    def __init__(self, *, models: tuple[str, ...] = ("echo", "words"), key: str = "") -> None:
        self.models = models
        self.key = key
        self.seen: list[tuple[dict[str, Any], str]] = []
        self.closed_early = 0
        self.most = 0
        self._running = 0
        self.release = asyncio.Event()
        self.url = ""

    def app(self) -> web.Application:
        """The server's application."""
        app = web.Application()
        app.router.add_get("/v1/models", self._models)
        app.router.add_post("/v1/chat/completions", self._complete)
        app.router.add_post("/v1/embeddings", self._embed)
        return app

    @asynccontextmanager
    async def serving(self, port: int = 0) -> AsyncIterator["Upstream"]:
        """Serve on loopback while the block runs; ``url`` ends in ``/v1``."""
        runner = web.AppRunner(self.app(), shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        try:
            yield self
        finally:
            await runner.cleanup()

    async def _models(self, request: web.Request) -> web.Response:
        if self.key and request.headers.get("Authorization") != f"Bearer {self.key}":
            return _error(401, "Incorrect API key provided.", "invalid_api_key")
        return web.json_response(
            {"object": "list", "data": [{"id": name, "object": "model", "created": 1, "owned_by": "test"} for name in self.models]}
        )

    async def _embed(self, request: web.Request) -> web.Response:
        """Each text's vector: its length, then as many twos as its place in the request, to ``dimensions`` numbers."""
        body = await request.json()
        self.seen.append((body, request.headers.get("Authorization", "")))
        if body["model"] == "picky-embed":
            return _error(400, "This model does not support specifying dimensions.", "invalid_value", param="dimensions")
        inputs = body["input"] if isinstance(body["input"], list) and not isinstance(body["input"][0], int) else [body["input"]]
        size = body.get("dimensions") or 4
        if size > MAX_DIMENSIONS or any(isinstance(given, float) for given in inputs):
            return _error(400, "That cannot be embedded.", "invalid_value")
        rows = [{"object": "embedding", "index": place, "embedding": _vector(given, place, size)} for place, given in enumerate(inputs)]
        if body["model"] == "short-embed":
            rows.pop()
        usage = {"prompt_tokens": 5, "total_tokens": 5}
        return web.json_response({"object": "list", "data": rows[::-1], "model": body["model"], "usage": usage})

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        self._running += 1
        self.most = max(self.most, self._running)
        try:
            return await self._answer(request)
        finally:
            self._running -= 1

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.seen.append((body, request.headers.get("Authorization", "")))
        model = body["model"]
        if self.key and request.headers.get("Authorization") != f"Bearer {self.key}":
            return _error(401, "Incorrect API key provided.", "invalid_api_key")
        if model in FAILURES:
            status, message, code, headers, param = FAILURES[model]
            return _error(status, message, code, headers, param)
        if model in tool_models.MODELS:
            return await tool_models.answer(request, body)
        if model == "knowing":
            return await self._knowing(request, body)
        if model == "stuck":
            await self.release.wait()
        words = WORDS if model in {"words", "breaking", *PAUSES_S} else [str(body["messages"][-1]["content"])]
        if body.get("stream"):
            return await self._stream(request, body, words)
        usage = {"prompt_tokens": 3, "completion_tokens": len(words), "total_tokens": 3 + len(words)}
        choice = {"index": 0, "message": {"role": "assistant", "content": "".join(words)}, "finish_reason": "stop"}
        return web.json_response(
            {"id": "x", "object": "chat.completion", "created": 1, "model": model, "choices": [choice], "usage": usage}
        )

    async def _knowing(self, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        """Knows tools, tells logprobs, details of usage and annotations, and gives ``n`` answers."""
        choices = [{"index": place, "delta": delta, **told} for place in range(body.get("n") or 1) for delta, told in KNOWN]
        if not body.get("stream"):
            call = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"at":1}'}}
            message = {"role": "assistant", "content": "Hi", "tool_calls": [call], "annotations": [{"type": "url_citation"}]}
            logprobs = {"content": [TOLD, TOLD], "refusal": None}
            whole = [
                {"index": place, "message": message, "logprobs": logprobs, "finish_reason": "tool_calls"}
                for place in range(body.get("n") or 1)
            ]
            return web.json_response({"id": "x", "object": "chat.completion", "model": "knowing", "choices": whole, "usage": DETAILED})
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for choice in choices:
            await response.write(b"data: " + json.dumps({"id": "x", "choices": [choice]}).encode() + b"\n\n")
        await response.write(b"data: " + json.dumps({"id": "x", "choices": [], "usage": DETAILED}).encode() + b"\n\ndata: [DONE]\n\n")
        return response

    async def _stream(self, request: web.Request, body: dict[str, Any], words: list[str]) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        try:
            for place, word in enumerate(words):
                await response.write(_chunk(body["model"], {"content": word}, None))
                if body["model"] == "breaking" and place == 9:
                    request.transport.close()  # type: ignore[union-attr]  # it is open: we have just written
                    return response
                if body["model"] in PAUSES_S:
                    await asyncio.sleep(PAUSES_S[body["model"]])
        except ConnectionError:
            self.closed_early += 1
            raise
        await response.write(_chunk(body["model"], {}, "stop"))
        if (body.get("stream_options") or {}).get("include_usage"):
            usage = {"prompt_tokens": 3, "completion_tokens": len(words), "total_tokens": 3 + len(words)}
            await response.write(b"data: " + json.dumps({"id": "x", "choices": [], "usage": usage}).encode() + b"\n\n")
        await response.write(b"data: [DONE]\n\n")
        return response


def _chunk(model: str, delta: dict[str, Any], finish_reason: str | None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    chunk = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": model, "choices": [choice]}
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


def _vector(given: str | list[int], place: int, size: int) -> list[float]:
    return [float(len(given)), *[2.0] * place, *[0.1] * int(size)][: int(size)]


def _error(status: int, message: str, code: str, headers: dict[str, str] | None = None, param: str | None = None) -> web.Response:
    return web.json_response({"error": {"message": message, "type": "x", "param": param, "code": code}}, status=status, headers=headers)


if __name__ == "__main__":
    web.run_app(Upstream().app(), host="127.0.0.1", port=int(sys.argv[1]), print=None, access_log=None)
