"""The vectors port, and the stores behind it: Weaviate by its URL, else a file in the data folder."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager

from core.errors import SettingsError
from core.settings import Settings
from core.storage.vectors.port import VectorStore


@asynccontextmanager
async def open_vectors(settings: Settings) -> AsyncGenerator[VectorStore, None]:
    """The vector store that the settings name. A Weaviate is not spoken to before the first verb: what needs no vectors starts without it.

    Raises SettingsError for a URL or folder that cannot be used, or where its library is not installed; Unavailable for a damaged file.
    """
    store = await _open(settings)
    try:
        yield store
    finally:
        await store.close()


class LazyVectors:
    """The vector store, opened by whoever needs it first: most processes do not."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._opening = asyncio.Lock()
        self._stack = AsyncExitStack()
        self._store: VectorStore | None = None

    async def open(self) -> VectorStore:
        """The store. Raises what ``open_vectors`` raises."""
        async with self._opening:
            if self._store is None:
                self._store = await self._stack.enter_async_context(open_vectors(self._settings))
            return self._store

    async def close(self) -> None:
        """Let go of it."""
        await self._stack.aclose()


async def _open(settings: Settings) -> VectorStore:
    """Each library is imported where it is used, and off the event loop: Weaviate's takes a second, and most have no Weaviate."""
    try:
        if settings.weaviate_url:
            await asyncio.to_thread(_import_weaviate)
            from core.storage.vectors.weaviate import WeaviateVectors  # noqa: PLC0415

            return WeaviateVectors(settings)
        from core.storage.vectors.sqlite_vec import SqliteVectors  # noqa: PLC0415
    except ModuleNotFoundError as error:
        message = f"Vectors cannot be kept: {error.name} is not installed. Install penstock[vectors]."
        raise SettingsError(message) from None
    return await SqliteVectors.open(settings.data_dir)


def _import_weaviate() -> None:
    import core.storage.vectors.weaviate  # noqa: F401, PLC0415
