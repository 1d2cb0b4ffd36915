"""A file of 200 MB goes through a web process that never holds it."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from tests.api.forms import BOUNDARY, HEADERS
from tests.stack import Running, stack_in

PIECE, PIECES = bytes(range(256)) * 4_096, 200
MORE_KB = 48_000  # what the process may need beside what it needed before, at its highest
ADA = {"name": "Ada", "email": "ada@example.com", "password": "correct horse battery"}


def peak_kb(running: Running) -> int:
    """The most memory that a process has had since it was last asked."""
    status = Path(f"/proc/{running.pid}/status").read_text(encoding="ascii")
    peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:"))
    Path(f"/proc/{running.pid}/clear_refs").write_text("5", encoding="ascii")
    return peak


async def form(pieces: int) -> AsyncIterator[bytes]:
    yield f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="large.bin"\r\n\r\n'.encode()
    for _ in range(pieces):
        yield PIECE
    yield f"\r\n--{BOUNDARY}--\r\n".encode()


@pytest.mark.parametrize("store", ["folder", "gridfs"])
async def test_a_large_file_comes_and_goes_in_little_memory(tmp_path: Path, request: pytest.FixtureRequest, store: str) -> None:
    settings = {"mongo_url": request.getfixturevalue("mongo_url")} if store == "gridfs" else {}
    digest = hashlib.sha256()
    for _ in range(PIECES):
        digest.update(PIECE)
    async with stack_in(tmp_path, **settings) as stack:
        await stack.start_redis()
        api = await stack.start_api()
        async with aiohttp.ClientSession(stack.url, raise_for_status=True) as session:
            async with session.post("/api/auths/signup", json=ADA) as response:
                session.headers["Authorization"] = f"Bearer {(await response.json())['token']}"
            await asyncio.to_thread(peak_kb, api)  # hashing a password takes 64 MB
            async with session.post("/api/files/", data=form(1), headers=HEADERS):
                before = await asyncio.to_thread(peak_kb, api)
            async with session.post("/api/files/", data=form(PIECES), headers=HEADERS) as response:
                file = await response.json()
            assert (file["meta"]["size"], file["hash"]) == (len(PIECE) * PIECES, digest.hexdigest())
            sent = await asyncio.to_thread(peak_kb, api)
            read = hashlib.sha256()
            async with session.get(f"/api/files/{file['id']}/content") as response:
                async for piece in response.content.iter_chunked(1_000_000):
                    read.update(piece)
            assert read.hexdigest() == file["hash"]
            got = await asyncio.to_thread(peak_kb, api)
    assert max(sent, got) < before + MORE_KB, f"{before} kB before, {sent} while it came, {got} while it went"
