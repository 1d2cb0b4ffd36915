"""What a signed-in request costs, against a bare aiohttp handler that returns the same bytes: ``python -m benchmarks.api``."""

import asyncio
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from benchmarks import gets, load
from benchmarks.rows import Row, table
from tests.polling import until
from tests.ports import free_port
from tests.stack import Stack, stack_in

ROUNDS = 3
SECONDS = 2.0
CLIENTS = 16
AT_LEAST = 0.3
CHAT = {
    "title": "A chat",
    "models": ["m"],
    "messages": [{"id": f"m{number}", "role": "user", "content": "Hello! " * 10, "timestamp": 1_700_000_000} for number in range(10)],
}


async def measure() -> list[Row]:
    """Interleaved rounds against real processes; the median of the rounds' ratios.

    Once as an administrator, once as a user whose rate limit is counted. The bound is for an ordinary client; one that costs next to
    nothing shows the server's own share alone.
    """
    with tempfile.TemporaryDirectory() as folder:
        async with stack_in(Path(folder), rate_limit_per_minute=10_000_000) as stack, aiohttp.ClientSession() as session:
            await stack.start_redis()
            await stack.start_api()
            rows = []
            for name in ("administrator", "user"):
                token = (await _ask(session, f"{stack.url}/api/auths/signup", _newcomer(name)))["token"]
                headers = {"Authorization": f"Bearer {token}"}
                chat = await _ask(session, f"{stack.url}/api/chats/new", {"chat": CHAT}, headers)
                for what, path in (("GET /api/auths/", "/api/auths/"), ("GET /api/chats/{id}", f"/api/chats/{chat['id']}")):
                    rows += await _compare(stack, session, f"{what}, {name}, {CLIENTS} clients", path, token)
            return rows


async def _compare(stack: Stack, session: aiohttp.ClientSession, what: str, path: str, token: str) -> list[Row]:
    headers = {"Authorization": f"Bearer {token}"}
    async with session.get(stack.url + path, headers=headers) as response:
        body = await response.read()
    kept, port = stack.folder / "body", free_port()
    kept.write_bytes(body)
    bare = await stack.start(sys.executable, "-m", "benchmarks.api", str(port), str(kept))
    await until(lambda: b"ready" in bare.log.read_bytes(), "the bare server listens")
    rows = []
    for client, bound, run in (("aiohttp's client", AT_LEAST, _ordinary), ("a client that costs next to nothing", None, gets.run)):
        pairs = []
        for _ in range(ROUNDS):
            theirs = await run(f"http://127.0.0.1:{port}{path}", headers, clients=CLIENTS, seconds=SECONDS)
            ours = await run(stack.url + path, headers, clients=CLIENTS, seconds=SECONDS)
            pairs.append((ours, theirs))
        ratio = statistics.median(ours / theirs for ours, theirs in pairs)
        ours, theirs = (statistics.median(column) for column in zip(*pairs, strict=True))
        note = f"by {client}: {ours:.0f} against {theirs:.0f} a second, {len(body)} bytes"
        rows.append(Row(what=what, measured=ratio, at_least=bound, note=note))
    await bare.kill()
    return rows


async def _ordinary(url: str, headers: dict[str, str], *, clients: int, seconds: float) -> float:
    """The load that the other figures are measured with."""
    found = await load.run("get", url, token=headers["Authorization"].removeprefix("Bearer "), clients=clients, seconds=seconds)
    return float(found["per_second"])


async def _ask(session: aiohttp.ClientSession, url: str, body: Any, headers: dict[str, str] | None = None) -> Any:
    async with session.post(url, json=body, headers=headers) as response:
        assert response.ok, await response.text()
        return await response.json()


def _newcomer(name: str) -> dict[str, str]:
    return {"name": name, "email": f"{name}@example.com", "password": "correct horse battery"}


async def serve(port: int, body: bytes) -> None:
    """The bare server."""

    async def handler(_request: web.Request) -> web.Response:
        return web.Response(body=body, content_type="application/json")

    app = web.Application()
    app.router.add_get("/{path:.*}", handler)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    print("ready", flush=True)  # noqa: T201 - heard by who started it
    await asyncio.Event().wait()


def rows() -> list[Row]:
    """For the harness."""
    return asyncio.run(measure())


if __name__ == "__main__":
    if sys.argv[1:]:
        import uvloop

        uvloop.run(serve(int(sys.argv[1]), Path(sys.argv[2]).read_bytes()))
    else:
        print(table(rows()))  # noqa: T201 - its answer
