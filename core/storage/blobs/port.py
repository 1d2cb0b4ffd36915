"""The port of bytes: long ones go in and come out in pieces, and nobody holds them whole."""

import re
from collections.abc import AsyncGenerator, AsyncIterable
from contextlib import aclosing
from typing import NamedTuple, Protocol

from core.errors import NotFound

PIECE_BYTES = 262_144
ABANDONED_S = 86_400  # what was begun so long ago, and has not grown since, was begun by a process that was killed

_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Written(NamedTuple):
    """What was written: how many bytes, and their SHA-256 in hexadecimal."""

    size: int
    sha256: str


class Blobs(Protocol):
    """A place for bytes, by ids of core.ids. Every verb raises Unavailable where the place cannot be reached, read or written."""

    async def setup(self) -> None:
        """Make what is missing, and throw away what was abandoned. Safe to repeat, also by several processes at once."""

    async def write(self, blob_id: str, pieces: AsyncIterable[bytes]) -> Written:
        """Keep what comes, all or nothing: whatever ``pieces`` raises is raised again, and nothing stays."""

    def read(self, blob_id: str, start: int = 0, length: int | None = None) -> AsyncGenerator[bytes, None]:
        """What lies from a byte on, in pieces of at most PIECE_BYTES; to be closed (``aclosing``). Raises NotFound with the first one."""

    async def delete(self, blob_id: str) -> bool:
        """Take it away; whether it was there."""

    async def exists(self, blob_id: str) -> bool:
        """Whether it is there, whole."""

    async def close(self) -> None:
        """Let go of everything."""


async def read_whole(blobs: Blobs, blob_id: str) -> bytes:
    """What fits into memory. Raises NotFound."""
    data = bytearray()
    async with aclosing(blobs.read(blob_id)) as pieces:
        async for piece in pieces:
            data += piece
    return bytes(data)


async def in_pieces(data: bytes) -> AsyncGenerator[bytes, None]:
    """What is in memory, to be written."""
    for start in range(0, len(data), PIECE_BYTES):
        yield data[start : start + PIECE_BYTES]


def check_id(blob_id: str) -> str:
    """An id of ours: nothing that a user names becomes part of a path. Raises ValueError."""
    if not _ID.fullmatch(blob_id):
        message = "a blob's id is made by core.ids.new_id"
        raise ValueError(message)
    return blob_id


def missing() -> NotFound:
    """Its bytes are not there."""
    return NotFound("The file's bytes are not there any more. Send it again.")
