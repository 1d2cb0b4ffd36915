"""Stores: small ports with an embedded default and a server each, one class per noun on top.

The only package that knows a database's library.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from core.settings import FileStore, Settings
from core.storage import (
    administrators,
    api_keys,
    chats,
    configs,
    documents,
    embedded,
    files,
    function_valves,
    function_versions,
    functions,
    generations,
    ingest_jobs,
    knowledge,
    knowledge_files,
    messages,
    models,
    pictures,
    pulls,
    shares,
    users,
    versions,
)
from core.storage.blobs.folder import FOLDER, FolderBlobs
from core.storage.blobs.port import Blobs
from core.storage.records.port import Records
from core.storage.records.sqlite import SqliteRecords

COLLECTIONS = (
    users.COLLECTION,
    administrators.COLLECTION,
    api_keys.COLLECTION,
    pictures.COLLECTION,
    chats.COLLECTION,
    messages.COLLECTION,
    shares.COLLECTION,
    generations.COLLECTION,
    models.COLLECTION,
    pulls.COLLECTION,
    configs.COLLECTION,
    files.COLLECTION,
    documents.COLLECTION,
    embedded.COLLECTION,
    knowledge.COLLECTION,
    knowledge_files.COLLECTION,
    ingest_jobs.COLLECTION,
    functions.COLLECTION,
    function_versions.COLLECTION,
    function_valves.COLLECTION,
)


@asynccontextmanager
async def open_records(settings: Settings) -> AsyncGenerator[Records, None]:
    """The document store that the settings name, ready, and of this build's version: MongoDB by its URL, else SQLite in the data folder.

    Raises Unavailable for a server that does not answer or a damaged file, SettingsError for a URL or folder that cannot be used, or that a
    newer build made.
    """
    async with _checked(settings) as records:
        await records.setup(COLLECTIONS)
        await versions.upgrade(records)
        yield records


async def refuse_newer(settings: Settings) -> None:
    """Look only whether the store may be used. Raises what ``open_records`` raises."""
    async with _checked(settings):
        pass


@asynccontextmanager
async def open_blobs(settings: Settings) -> AsyncGenerator[Blobs, None]:
    """Where the settings want bytes to be kept, ready: GridFS in the same MongoDB, or the data folder.

    Raises Unavailable for a server that does not answer, SettingsError for a folder that cannot be used.
    """
    in_mongo = settings.file_store is FileStore.GRIDFS or (settings.file_store is FileStore.AUTO and bool(settings.mongo_url))
    blobs = await asyncio.to_thread(_gridfs, settings.mongo_url) if in_mongo else FolderBlobs(settings.data_dir / FOLDER)
    try:
        await blobs.setup()
        yield blobs
    finally:
        await blobs.close()


@asynccontextmanager
async def _checked(settings: Settings) -> AsyncGenerator[Records, None]:
    records = await _connect(settings)
    place = (f"The data folder {settings.data_dir}", "another folder: PENSTOCK_DATA_DIR or --data-dir")
    if settings.mongo_url:
        place = ("The database that PENSTOCK_MONGO_URL names", "another database")
    try:
        await versions.check(records, *place)
        yield records
    finally:
        await records.close()


async def _connect(settings: Settings) -> Records:
    if not settings.mongo_url:
        return await SqliteRecords.open(settings.data_dir)
    return await asyncio.to_thread(_mongo, settings.mongo_url)


def _mongo(url: str) -> Records:
    """Off the event loop, because the driver takes longer to import than all the rest; and here only, because most have no MongoDB."""
    from core.storage.records.mongo import MongoRecords  # noqa: PLC0415

    return MongoRecords.connect(url)


def _gridfs(url: str) -> Blobs:
    """The same."""
    from core.storage.blobs.gridfs import GridFSBlobs  # noqa: PLC0415

    return GridFSBlobs.connect(url)
