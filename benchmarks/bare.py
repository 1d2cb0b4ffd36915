"""The bare limit: an aiohttp server whose one handler reads what is posted and returns bytes that it was given at the start.

``python -m benchmarks.bare PORT FOLDER`` serves each file of the folder under its name.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import uvloop
from aiohttp import web

from tests.polling import until
from tests.ports import free_port
from tests.stack import Stack

MAX_BODY_BYTES = 16 * 1_048_576


async def serve(port: int, bodies: Mapping[str, bytes]) -> None:
    """Serve for ever."""

    async def handler(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(body=bodies[request.match_info["name"]], content_type="application/json")

    app = web.Application(client_max_size=MAX_BODY_BYTES)
    app.router.add_route("*", "/{name}", handler)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    print("ready", flush=True)  # noqa: T201 - heard by who started it
    await asyncio.Event().wait()


@asynccontextmanager
async def bare(stack: Stack, bodies: Mapping[str, bytes]) -> AsyncIterator[str]:
    """One that serves these bodies, each at the yielded URL and its name."""
    port, folder = free_port(), stack.folder / "bodies"
    folder.mkdir(exist_ok=True)
    for name, body in bodies.items():
        (folder / name).write_bytes(body)
    running = await stack.start(sys.executable, "-m", "benchmarks.bare", str(port), str(folder))
    await until(lambda: b"ready" in running.log.read_bytes(), "the bare server listens")
    yield f"http://127.0.0.1:{port}/"
    await running.kill()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), {path.name: path.read_bytes() for path in Path(sys.argv[2]).iterdir()}))
