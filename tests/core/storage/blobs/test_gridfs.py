import asyncio
import hashlib
import time
from collections.abc import AsyncGenerator, AsyncIterator

import pytest
from motor.motor_asyncio import AsyncIOMotorGridFSBucket

from core.errors import Unavailable
from core.ids import new_id
from core.storage.blobs.gridfs import BUCKET, GridFSBlobs
from core.storage.blobs.port import ABANDONED_S, PIECE_BYTES
from core.storage.records.mongo import open_client
from tests.ports import free_port


@pytest.fixture(params=["mongo_url", "ferretdb_url"])
def url(request: pytest.FixtureRequest) -> str:
    found: str = request.getfixturevalue(request.param)
    return found


@pytest.fixture
async def blobs(url: str) -> AsyncIterator[GridFSBlobs]:
    opened = await asyncio.to_thread(GridFSBlobs.connect, url)
    await opened.setup()
    await opened.setup()
    yield opened
    await opened.close()


async def pieces() -> AsyncGenerator[bytes, None]:
    for number in range(5):
        yield bytes([number]) * 100_000


async def broken() -> AsyncGenerator[bytes, None]:
    async for piece in pieces():
        yield piece
    raise ConnectionResetError


async def test_mongodbs_own_driver_reads_what_was_written(blobs: GridFSBlobs, url: str) -> None:
    blob_id = new_id()
    written = await blobs.write(blob_id, pieces())
    client, database = await asyncio.to_thread(open_client, url)
    found = await AsyncIOMotorGridFSBucket(database, BUCKET).open_download_stream(blob_id)
    data: bytes = await found.read()
    assert (found.length, found.chunk_size) == (written.size, PIECE_BYTES)
    assert hashlib.sha256(data).hexdigest() == written.sha256
    await asyncio.to_thread(client.close)


async def test_no_piece_stays_of_what_broke_off_or_was_deleted(blobs: GridFSBlobs) -> None:
    with pytest.raises(ConnectionResetError):
        await blobs.write(new_id(), broken())
    kept = new_id()
    await blobs.write(kept, pieces())
    assert await blobs._chunks.count_documents({}) == 2
    await blobs.delete(kept)
    assert await blobs._chunks.count_documents({}) == await blobs._files.count_documents({}) == 0


async def test_what_a_killed_process_had_begun_is_thrown_away_at_a_start_when_it_is_old(blobs: GridFSBlobs) -> None:
    old, young, whole = new_id(), new_id(), new_id()
    await blobs.write(whole, pieces())
    for blob_id, age_s in ((old, ABANDONED_S + 1), (young, 1), (whole, ABANDONED_S + 1)):
        await blobs._begun.insert_one({"_id": blob_id, "at": time.time() - age_s})
        if blob_id != whole:
            await blobs._chunks.insert_one({"files_id": blob_id, "n": 0, "data": b"x"})
    await blobs.setup()
    assert {chunk["files_id"] for chunk in await blobs._chunks.find({}).to_list(None)} == {young, whole}
    assert [begun["_id"] for begun in await blobs._begun.find({}).to_list(None)] == [young]


async def test_what_is_being_written_is_noted_until_it_is_whole(blobs: GridFSBlobs) -> None:
    noted: list[int] = []

    async def looking() -> AsyncGenerator[bytes, None]:
        yield bytes(PIECE_BYTES)
        noted.append(await blobs._begun.count_documents({}))

    await blobs.write(new_id(), looking())
    assert (noted, await blobs._begun.count_documents({})) == ([1], 0)


async def test_a_server_that_is_away_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.storage.records.mongo.SERVER_SELECTION_MS", 50)
    blobs = await asyncio.to_thread(GridFSBlobs.connect, f"mongodb://127.0.0.1:{free_port()}")
    with pytest.raises(Unavailable, match="PENSTOCK_MONGO_URL"):
        await blobs.write(new_id(), pieces())
    await blobs.close()
