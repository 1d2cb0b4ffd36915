"""What every place for bytes promises: a folder, and GridFS on both servers that speak MongoDB's protocol."""

import asyncio
import hashlib
import random
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest

from core.errors import NotFound
from core.ids import new_id
from core.settings import FileStore, Settings
from core.storage import open_blobs
from core.storage.blobs.folder import FolderBlobs
from core.storage.blobs.port import PIECE_BYTES, Blobs, Written
from tests.ports import free_port

SOME = random.Random(7).randbytes(2 * PIECE_BYTES + 1_000)


class BrokenOffError(Exception):
    """A client that goes away in the middle."""


@pytest.fixture
async def blobs(store_settings: Settings) -> AsyncIterator[Blobs]:
    async with open_blobs(store_settings) as opened:
        yield opened


async def in_pieces(data: bytes, size: int = 100_000) -> AsyncGenerator[bytes, None]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


async def breaking_off(data: bytes) -> AsyncGenerator[bytes, None]:
    yield data
    raise BrokenOffError


async def whole(blobs: Blobs, blob_id: str, start: int = 0, length: int | None = None) -> bytes:
    async with aclosing(blobs.read(blob_id, start, length)) as pieces:
        return b"".join([piece async for piece in pieces])


@pytest.mark.parametrize("size", [0, 1, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, len(SOME)])
async def test_what_was_written_is_read(blobs: Blobs, size: int) -> None:
    data, blob_id = SOME[:size], new_id()
    assert not await blobs.exists(blob_id)
    assert await blobs.write(blob_id, in_pieces(data)) == Written(size, hashlib.sha256(data).hexdigest())
    assert await blobs.exists(blob_id)
    assert await whole(blobs, blob_id) == data


@pytest.mark.parametrize("piece", [1_000_000, PIECE_BYTES, 77_777])
async def test_it_does_not_matter_in_which_pieces_it_comes(blobs: Blobs, piece: int) -> None:
    blob_id = new_id()
    await blobs.write(blob_id, in_pieces(SOME, piece))
    async with aclosing(blobs.read(blob_id)) as pieces:
        assert max([len(piece) async for piece in pieces]) <= PIECE_BYTES
    assert await whole(blobs, blob_id) == SOME


@pytest.mark.parametrize(
    ("start", "length"),
    [
        (0, 1),
        (0, 0),
        (PIECE_BYTES - 1, 2),
        (PIECE_BYTES, PIECE_BYTES),
        (1, 2 * PIECE_BYTES),
        (len(SOME) - 1, None),
        (len(SOME) - 5, 100),
        (len(SOME), None),
        (len(SOME) + 1, 1),
    ],
)
async def test_a_part_is_read(blobs: Blobs, start: int, length: int | None) -> None:
    blob_id = new_id()
    await blobs.write(blob_id, in_pieces(SOME))
    assert await whole(blobs, blob_id, start, length) == SOME[start : None if length is None else start + length]


async def test_who_breaks_off_leaves_nothing(blobs: Blobs) -> None:
    blob_id = new_id()
    with pytest.raises(BrokenOffError):
        await blobs.write(blob_id, breaking_off(SOME))
    assert not await blobs.exists(blob_id)
    with pytest.raises(NotFound, match="not there"):
        await whole(blobs, blob_id)
    await blobs.write(blob_id, in_pieces(b"again"))
    assert await whole(blobs, blob_id) == b"again"


async def test_who_is_cancelled_leaves_nothing_either(blobs: Blobs) -> None:
    blob_id, waits = new_id(), asyncio.Event()

    async def hanging() -> AsyncGenerator[bytes, None]:
        yield SOME
        waits.set()
        await asyncio.Event().wait()

    writing = asyncio.create_task(blobs.write(blob_id, hanging()))
    await waits.wait()
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    assert not await blobs.exists(blob_id)
    await blobs.write(blob_id, in_pieces(b"again"))
    assert await whole(blobs, blob_id) == b"again"


async def test_what_is_deleted_is_gone(blobs: Blobs) -> None:
    kept, deleted = new_id(), new_id()
    for blob_id in (kept, deleted):
        await blobs.write(blob_id, in_pieces(SOME))
    assert await blobs.delete(deleted)
    assert not await blobs.delete(deleted)
    assert not await blobs.exists(deleted)
    with pytest.raises(NotFound):
        await whole(blobs, deleted)
    assert await whole(blobs, kept) == SOME


async def test_several_write_and_read_at_once(blobs: Blobs) -> None:
    data = {new_id(): SOME[number:] for number in range(5)}
    await asyncio.gather(*(blobs.write(blob_id, in_pieces(what)) for blob_id, what in data.items()))
    assert await asyncio.gather(*(whole(blobs, blob_id) for blob_id in data)) == list(data.values())


async def test_who_reads_no_further_lets_go(blobs: Blobs) -> None:
    blob_id = new_id()
    await blobs.write(blob_id, in_pieces(SOME))
    async with aclosing(blobs.read(blob_id)) as pieces:
        assert SOME.startswith(await anext(pieces))
    assert await blobs.delete(blob_id)


@pytest.mark.parametrize("blob_id", ["../../etc/passwd", "", "a", "..", "0" * 36, new_id().upper(), f"{new_id()}\n"])
async def test_only_ids_of_ours_are_names(blobs: Blobs, blob_id: str) -> None:
    for call in (blobs.write(blob_id, in_pieces(b"x")), blobs.exists(blob_id), blobs.delete(blob_id), whole(blobs, blob_id)):
        with pytest.raises(ValueError, match="new_id"):
            await call


async def test_settings_say_where_bytes_lie(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, mongo_url=f"mongodb://127.0.0.1:{free_port()}/x", file_store=FileStore.FOLDER)
    async with open_blobs(settings) as blobs:
        assert isinstance(blobs, FolderBlobs)
    async with open_blobs(Settings(data_dir=tmp_path)) as blobs:
        assert isinstance(blobs, FolderBlobs)
