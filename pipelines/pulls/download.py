"""One file over HTTP, which may break off and go on: also in another process, from what the last one left."""

import asyncio
import fcntl
import hashlib
import os
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import BinaryIO

import aiohttp
import msgspec

from core.errors import Forbidden, ModelNotFound, PenstockError, UpstreamBroken, UpstreamError
from core.security import redact_url

PIECE_BYTES = 1_048_576
ATTEMPTS = 5
PAUSE_S = 1.0
LOOK_AGAIN_S = 0.2
PARTIAL = ".partial"


class RemoteFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file to fetch. ``size`` in bytes; ``sha256``: its checksum, where its server knows it."""

    name: str
    url: str
    size: int
    sha256: str | None = None


async def download(client: aiohttp.ClientSession, file: RemoteFile, target: Path, headers: Mapping[str, str]) -> AsyncGenerator[int, None]:
    """Fetch a file, and give how many bytes are there; the last time when it is checked and in its place.

    A break is tried again ATTEMPTS times from where it was. Raises UpstreamError and its kin, Forbidden, ModelNotFound.
    """
    if await asyncio.to_thread(_size, target) == file.size:
        yield file.size
        return
    partial = target.with_name(f"{target.name}{PARTIAL}")
    async with _held(partial) as sink:
        if await asyncio.to_thread(_size, target) == file.size:
            yield file.size  # whoever held it has finished
            return
        failures, done = 0, await asyncio.to_thread(_end, sink)
        while done != file.size:
            try:
                async with aclosing(_continued(client, file, sink, done, headers)) as pieces:
                    async for done in pieces:
                        failures = 0
                        yield done
                if done != file.size:
                    raise aiohttp.ClientPayloadError
            except (aiohttp.ClientError, ConnectionError, TimeoutError):
                failures += 1
                if failures >= ATTEMPTS:
                    place = redact_url(file.url)
                    message = f"{place} broke off {failures} times without bringing anything. What arrived is kept: pull it again later."
                    raise UpstreamBroken(message) from None
                await asyncio.sleep(PAUSE_S)
                done = await asyncio.to_thread(_end, sink)
        if file.sha256 and await asyncio.to_thread(_checksum, partial) != file.sha256:
            await asyncio.to_thread(_emptied, sink)
            message = f"{file.name} is damaged: its checksum is not the one that its repository tells. Pull it again."
            raise UpstreamBroken(message)
        await asyncio.to_thread(partial.replace, target)
    yield file.size


async def _continued(
    client: aiohttp.ClientSession, file: RemoteFile, sink: BinaryIO, done: int, headers: Mapping[str, str]
) -> AsyncGenerator[int, None]:
    """What is missing, from one request."""
    if done > file.size:
        done = await asyncio.to_thread(_emptied, sink)
    wanted = {**headers, "Accept-Encoding": "identity", **({"Range": f"bytes={done}-"} if done else {})}
    async with client.get(file.url, headers=wanted) as response:
        if response.status not in {200, 206}:
            raise _problem(redact_url(file.url), response.status)
        if done and response.status == 200:  # noqa: PLR2004 - the whole file, whatever was asked for
            done = await asyncio.to_thread(_emptied, sink)
        async for piece in response.content.iter_chunked(PIECE_BYTES):
            await asyncio.to_thread(_written, sink, piece)
            done += len(piece)
            yield done


def _problem(url: str, status: int) -> PenstockError:
    if status in {401, 403}:
        return Forbidden(f"{url} may not be read (HTTP {status}). Set PENSTOCK_HF_TOKEN to a token that may.")
    if status == 404:  # noqa: PLR2004 - not found
        return ModelNotFound(f"{url} does not exist.", param="name")
    return UpstreamError(f"{url} answered with HTTP {status}.")


@asynccontextmanager
async def _held(partial: Path) -> AsyncGenerator[BinaryIO, None]:
    """The partial file, for one writer at a time: one that was only slow may still hold it."""
    sink = await asyncio.to_thread(_opened, partial)
    try:
        while not await asyncio.to_thread(_locked, sink):  # noqa: ASYNC110 - nobody tells when a lock is free
            await asyncio.sleep(LOOK_AGAIN_S)
        yield sink
    finally:
        sink.close()


def _opened(partial: Path) -> BinaryIO:
    partial.parent.mkdir(parents=True, exist_ok=True)
    return partial.open("ab", buffering=0)


def _locked(sink: BinaryIO) -> bool:
    try:
        fcntl.flock(sink, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _end(sink: BinaryIO) -> int:
    return sink.seek(0, os.SEEK_END)


def _written(sink: BinaryIO, piece: bytes) -> None:
    view = memoryview(piece)
    while view:
        view = view[sink.write(view) :]


def _emptied(sink: BinaryIO) -> int:
    sink.truncate(0)
    return 0


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else -1
