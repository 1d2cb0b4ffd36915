"""Vectors of the shipped embedder, kept in the cache from one run to the next for as long as the model and its kernels are the same."""

import hashlib
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing

from benchmarks.checkouts import ROOT
from benchmarks.fetched import CACHE
from core.settings import Settings
from gpu.device_lock import DeviceLock
from gpu.embedder import Embedder
from gpu.sources import embedder

AT_ONCE = 256
COMPUTED_BY = ("gpu/bert.c", "gpu/bert.py", "gpu/kernels.h", "gpu/text_reader.py")


class Embedding:
    """An embedder that remembers."""

    def __init__(self, model: Embedder, kept: sqlite3.Connection) -> None:
        self.model = model
        self._kept = kept
        self._way = hashlib.sha256(
            b"".join((model.model_id.encode(), model.tokenizer, *((ROOT / path).read_bytes() for path in COMPUTED_BY)))
        )
        kept.execute("CREATE TABLE IF NOT EXISTS vectors (key BLOB PRIMARY KEY, vector BLOB NOT NULL) WITHOUT ROWID")

    async def vectors(self, texts: Sequence[str]) -> list[bytes]:
        """Float32, in the order of the texts."""
        keys = [self._key(text) for text in texts]
        missing = {key: text for key, text in zip(keys, texts, strict=True) if not self._find(key)}
        items = list(missing.items())
        for start in range(0, len(items), AT_ONCE):
            some = items[start : start + AT_ONCE]
            made, _ = await self.model.embed([text for _, text in some])
            size = len(made) // len(some)
            rows = [(key, made[size * place : size * (place + 1)]) for place, (key, _) in enumerate(some)]
            with self._kept:
                self._kept.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?)", rows)
        return [self._find(key) for key in keys]

    def _key(self, text: str) -> bytes:
        way = self._way.copy()
        way.update(text.encode())
        return way.digest()

    def _find(self, key: bytes) -> bytes:
        found = self._kept.execute("SELECT vector FROM vectors WHERE key = ?", (key,)).fetchone()
        return bytes(found[0]) if found else b""


@asynccontextmanager
async def remembered() -> AsyncIterator[Embedding]:
    """The shipped embedder."""
    source = embedder()
    assert source, "the embedding model is not installed"
    CACHE.mkdir(parents=True, exist_ok=True)
    model = Embedder(source, Settings(data_dir=CACHE, device="cpu"), device_lock=DeviceLock())
    try:
        with closing(sqlite3.connect(CACHE / "vectors.sqlite3")) as kept:
            yield Embedding(model, kept)
    finally:
        model.close()
