"""A load generator, as a process of its own: ``python -m benchmarks.load KIND URL TOKEN MODEL CLIENTS SECONDS`` prints one JSON line.

KIND: ``get`` (GET the URL), ``post`` (POST what is on standard input to it), ``whole`` (chat completions, not streamed), ``stream``
(streamed, read to ``[DONE]``). URL: several, separated by spaces, are shared out among the clients.
"""

import asyncio
import json
import statistics
import sys
import time
from typing import Any

import aiohttp
import uvloop


async def _one(session: aiohttp.ClientSession, kind: str, url: str, body: bytes) -> float:
    """One request; seconds to its first delta, or to its answer."""
    began = time.perf_counter()
    if kind == "get":
        async with session.get(url) as response:
            await response.read()
            assert response.status == 200, response.status
            return time.perf_counter() - began
    async with session.post(url, data=body, headers={"Content-Type": "application/json"}) as response:
        assert response.ok, await response.text()
        if kind in {"whole", "post"}:
            await response.read()
            return time.perf_counter() - began
        first, last = 0.0, b""
        async for piece in response.content.iter_any():
            if not first and b'"content":' in piece.replace(b'"content":""', b""):
                first = time.perf_counter() - began
            last = (last + piece)[-64:]
        assert b"[DONE]" in last, last
        return first


async def _client(session: aiohttp.ClientSession, kind: str, url: str, body: bytes, until: float, times: list[float]) -> None:
    while time.perf_counter() < until:
        times.append(await _one(session, kind, url, body))


async def load(kind: str, url: str, token: str, body: bytes, clients: int, seconds: float) -> dict[str, Any]:
    """Requests a second, and milliseconds to the first delta (or to the answer) at the median."""
    urls = url.split()
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}, connector=aiohttp.TCPConnector(limit=0)) as session:
        for _ in range(3):
            await _one(session, kind, urls[0], body)
        times: list[float] = []
        began = time.perf_counter()
        await asyncio.gather(*(_client(session, kind, urls[number % len(urls)], body, began + seconds, times) for number in range(clients)))
        return {"per_second": len(times) / (time.perf_counter() - began), "median_ms": statistics.median(times) * 1000}


def completion(model: str, *, stream: bool) -> bytes:
    """The body of a chat completion."""
    return json.dumps({"model": model, "messages": [{"role": "user", "content": "hello"}], "stream": stream}).encode()


async def run(  # noqa: PLR0913 - each by its name
    kind: str, url: str, *, token: str = "", model: str = "", clients: int = 16, seconds: float = 3, body: bytes | None = None
) -> dict[str, Any]:
    """The same in a process of its own. ``body``: what is posted."""
    words = (sys.executable, "-m", "benchmarks.load", kind, url, token, model, str(clients), str(seconds))
    process = await asyncio.create_subprocess_exec(*words, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate(body or b"")
    assert process.returncode == 0, words
    found: dict[str, Any] = json.loads(output)
    return found


if __name__ == "__main__":
    _, kind, url, token, model, clients, seconds = sys.argv
    body = sys.stdin.buffer.read() if kind == "post" else completion(model, stream=kind == "stream")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        print(json.dumps(runner.run(load(kind, url, token, body, int(clients), float(seconds)))))  # noqa: T201 - its answer
