"""A real mirror of Hugging Face, small: it says what its repositories hold and gives their files, also from the middle.

Source: the hub's API as huggingface_hub asks it.
"""

import asyncio  # noqa: TC003 - for readers of annotations at run time
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from unittest.mock import patch

from aiohttp import web
from huggingface_hub import constants

COMMIT = "0123456789abcdef0123456789abcdef01234567"
PIECE_BYTES = 65_536


class HubMirror:
    """``repositories``: name -> file -> bytes. ``asked``: the files that were asked for, each with the Range that was wanted.

    ``breaks``: how often files still break off in their middle; ``silent``: they break off before they begin; ``go``: pieces wait for it
    where it is given.
    """

    def __init__(self, repositories: dict[str, dict[str, bytes]] | None = None, *, token: str = "") -> None:
        self.repositories = repositories or {}
        self.token = token
        self.gated: set[str] = set()
        self.asked: list[tuple[str, str | None]] = []
        self.breaks = 0
        self.silent = False
        self.damages = False
        self.ignores_ranges = False
        self.go: asyncio.Semaphore | None = None
        self.url = ""

    @asynccontextmanager
    async def serving(self) -> AsyncIterator["HubMirror"]:
        """Serve on loopback while the block runs. Tests of the engine forbid the library to ask anybody; here it may."""
        app = web.Application()
        app.router.add_get("/api/models/{owner}/{name}", self._info)
        app.router.add_get("/{owner}/{name}/resolve/{revision}/{file:.+}", self._file)
        runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            with patch.object(constants, "HF_HUB_OFFLINE", new=False):
                yield self
        finally:
            await runner.cleanup()

    def _of(self, request: web.Request) -> dict[str, bytes]:
        name = f"{request.match_info['owner']}/{request.match_info['name']}"
        if self.token and request.headers.get("Authorization") != f"Bearer {self.token}":
            raise web.HTTPUnauthorized
        if name in self.gated:
            raise web.HTTPForbidden(headers={"X-Error-Code": "GatedRepo"})
        if name not in self.repositories:
            raise web.HTTPNotFound(headers={"X-Error-Code": "RepoNotFound"})
        return self.repositories[name]

    async def _info(self, request: web.Request) -> web.Response:
        siblings = [_sibling(name, data) for name, data in self._of(request).items()]
        name = f"{request.match_info['owner']}/{request.match_info['name']}"
        return web.json_response({"id": name, "modelId": name, "sha": COMMIT, "tags": [], "downloads": 0, "siblings": siblings})

    async def _file(self, request: web.Request) -> web.StreamResponse:
        data, name = self._of(request).get(request.match_info["file"]), request.match_info["file"]
        self.asked.append((name, request.headers.get("Range")))
        if data is None or request.match_info["revision"] != COMMIT:
            raise web.HTTPNotFound(headers={"X-Error-Code": "EntryNotFound"})
        begin = 0 if self.ignores_ranges else request.http_range.start or 0
        rest = (bytes(len(data)) if self.damages else data)[begin:]
        headers = {"ETag": f'"{hashlib.sha256(data).hexdigest()}"', "X-Repo-Commit": COMMIT, "Content-Length": str(len(rest))}
        response = web.StreamResponse(status=206 if begin else 200, headers=headers)
        await response.prepare(request)
        stop = 0 if self.silent else len(rest) // 2 if self.breaks and len(rest) > PIECE_BYTES else len(rest)
        for place in range(0, stop, PIECE_BYTES):
            if self.go and place:
                await self.go.acquire()
            await response.write(rest[place : min(place + PIECE_BYTES, stop)])
        if stop < len(rest):
            self.breaks = max(0, self.breaks - 1)
            request.transport.close()  # type: ignore[union-attr]  # it is open: we have just written
        return response


def _sibling(name: str, data: bytes) -> dict[str, Any]:
    large = {"lfs": {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 100}} if len(data) > PIECE_BYTES else {}
    return {"rfilename": name, "size": len(data), "blobId": hashlib.sha1(data).hexdigest(), **large}  # noqa: S324 - git's own
