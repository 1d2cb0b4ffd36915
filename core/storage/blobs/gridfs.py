"""Bytes in MongoDB, as GridFS lays them out, so that MongoDB's own tools find them. Source: the GridFS specification.

Through the collections themselves: the driver's writer gathers 32 MB before it sends anything, and its reader may block the loop on
its way to a range.
"""

import asyncio
import datetime as dt
import hashlib
import time
from collections.abc import AsyncGenerator, AsyncIterable
from contextlib import suppress
from typing import Any

from bson import Binary, Int64
from pymongo import ASCENDING

from core.errors import PenstockError
from core.storage.blobs.port import ABANDONED_S, PIECE_BYTES, Written, check_id, missing
from core.storage.records.mongo import explained, open_client
from core.storage.records.port import KEY

BUCKET = "blobs"
NOTED_EVERY = 64  # pieces; the slowest sender that is waited for needs hours for them


class GridFSBlobs:
    """The port on MongoDB. A blob's entry in the bucket's ``files`` is written last: without it, its pieces are nothing.

    Until then it is noted among those that are ``begun`` (Unix seconds).
    """

    def __init__(self, client: Any, database: Any) -> None:
        self._client = client
        self._files: Any = database[f"{BUCKET}.files"]
        self._chunks: Any = database[f"{BUCKET}.chunks"]
        self._begun: Any = database[f"{BUCKET}.begun"]

    @classmethod
    def connect(cls, url: str) -> "GridFSBlobs":
        """In the database that a ``mongodb://`` URL names. Nothing is sent yet. Raises SettingsError."""
        return cls(*open_client(url))

    async def setup(self) -> None:
        """Make the indexes that drivers expect, and throw away what was abandoned."""
        with explained():
            await self._files.create_index([("filename", ASCENDING), ("uploadDate", ASCENDING)])
            await self._chunks.create_index([("files_id", ASCENDING), ("n", ASCENDING)], unique=True)
            for begun in await self._begun.find({"at": {"$lt": time.time() - ABANDONED_S}}).to_list(None):
                if not await self.exists(begun[KEY]):
                    await self._chunks.delete_many({"files_id": begun[KEY]})
                await self._begun.delete_one({KEY: begun[KEY]})

    async def write(self, blob_id: str, pieces: AsyncIterable[bytes]) -> Written:
        """A document for each piece, and one for the whole at the end."""
        check_id(blob_id)
        digest, size, number = hashlib.sha256(), 0, 0
        try:
            async for piece in _in_equal_pieces(pieces):
                await asyncio.to_thread(digest.update, piece)
                with explained():
                    if number % NOTED_EVERY == 0:
                        await self._begun.update_one({KEY: blob_id}, {"$set": {"at": time.time()}}, upsert=True)
                    await self._chunks.insert_one({"files_id": blob_id, "n": number, "data": Binary(piece)})
                size, number = size + len(piece), number + 1
            whole = {"length": Int64(size), "chunkSize": PIECE_BYTES, "uploadDate": dt.datetime.now(tz=dt.UTC)}
            with explained():
                await self._files.insert_one({KEY: blob_id, "filename": blob_id, **whole})
                await self._begun.delete_one({KEY: blob_id})
        except BaseException:
            with suppress(PenstockError):  # what failed first is told
                await asyncio.shield(self.delete(blob_id))
            raise
        return Written(size, digest.hexdigest())

    async def read(self, blob_id: str, start: int = 0, length: int | None = None) -> AsyncGenerator[bytes, None]:
        """One piece after the other, each asked for by its number."""
        check_id(blob_id)
        with explained():
            file = await self._files.find_one({KEY: blob_id})
        if file is None:
            raise missing()
        end = file["length"] if length is None else min(file["length"], start + length)
        while start < end:
            number, skipped = divmod(start, file["chunkSize"])
            with explained():
                found = await self._chunks.find_one({"files_id": blob_id, "n": number})
            if found is None:
                raise missing()
            piece = bytes(found["data"][skipped : skipped + end - start])
            start += len(piece)
            yield piece

    async def delete(self, blob_id: str) -> bool:
        """First its entry, then its pieces."""
        with explained():
            found = await self._files.delete_one({KEY: check_id(blob_id)})
            await self._chunks.delete_many({"files_id": blob_id})
            await self._begun.delete_one({KEY: blob_id})
            return bool(found.deleted_count)

    async def exists(self, blob_id: str) -> bool:
        """Whether it has an entry."""
        with explained():
            return await self._files.find_one({KEY: check_id(blob_id)}, {KEY: 1}) is not None

    async def close(self) -> None:
        """Close its connections; the driver says goodbye to the server, and waits for that."""
        await asyncio.to_thread(self._client.close)


async def _in_equal_pieces(pieces: AsyncIterable[bytes]) -> AsyncGenerator[bytes, None]:
    """All but the last of PIECE_BYTES."""
    gathered = bytearray()
    async for piece in pieces:
        gathered += piece
        while len(gathered) >= PIECE_BYTES:
            yield bytes(gathered[:PIECE_BYTES])
            del gathered[:PIECE_BYTES]
    if gathered:
        yield bytes(gathered)
