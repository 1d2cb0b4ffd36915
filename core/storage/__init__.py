"""Stores: small ports with an embedded default and a server each, one class per noun on top, and Redis.

The only room that knows a database's library.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from core.settings import Settings
from core.storage import administrators, chats, configs, generations, keys, messages, models, pictures, pulls, shares, users
from core.storage.documents import Documents
from core.storage.sqlite import SqliteDocuments

COLLECTIONS = (
    users.COLLECTION,
    administrators.COLLECTION,
    keys.COLLECTION,
    pictures.COLLECTION,
    chats.COLLECTION,
    messages.COLLECTION,
    shares.COLLECTION,
    generations.COLLECTION,
    models.COLLECTION,
    pulls.COLLECTION,
    configs.COLLECTION,
)


@asynccontextmanager
async def open_documents(settings: Settings) -> AsyncGenerator[Documents, None]:
    """The document store that the settings name, ready: MongoDB by its URL, else SQLite in the data folder.

    Raises Unavailable for a server that does not answer or a damaged file, SettingsError for a URL or folder that cannot be used.
    """
    documents = await _connect(settings)
    try:
        await documents.setup(COLLECTIONS)
        yield documents
    finally:
        await documents.close()


async def _connect(settings: Settings) -> Documents:
    if not settings.mongo_url:
        return await SqliteDocuments.open(settings.data_dir)
    return await asyncio.to_thread(_mongo, settings.mongo_url)


def _mongo(url: str) -> Documents:
    """Off the event loop, because the driver takes longer to import than all the rest; and here only, because most have no MongoDB."""
    from core.storage.mongo import MongoDocuments  # noqa: PLC0415

    return MongoDocuments.connect(url)
