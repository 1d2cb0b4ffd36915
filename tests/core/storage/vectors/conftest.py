"""Each vector store in turn: the embedded one, and Weaviate."""

import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from core.settings import Settings
from core.storage.vectors import open_vectors
from core.storage.vectors.port import VectorSpace, VectorStore
from tests.core.storage.vectors.corpus import DIMENSIONS, points
from tests.servers import weaviate_grpc_url

STORES = ("embedded", "weaviate")


def settings_of(request: pytest.FixtureRequest, store: str, folder: Path) -> Settings:
    """Settings that name a store."""
    url = "" if store == "embedded" else request.getfixturevalue("weaviate_url")
    return Settings(data_dir=folder, weaviate_url=url, weaviate_grpc_url=weaviate_grpc_url(url) if url else "")


@pytest.fixture
async def space() -> VectorSpace:
    """A space of the test's own: all tests share one Weaviate."""
    return VectorSpace(model=f"test/modèl {uuid.uuid4().hex}", dimensions=DIMENSIONS)


@pytest.fixture(params=STORES)
async def vectors(request: pytest.FixtureRequest, tmp_path: Path, space: VectorSpace) -> AsyncIterator[VectorStore]:
    """A store with that space, empty."""
    async with open_vectors(settings_of(request, request.param, tmp_path)) as opened:
        await opened.setup(space)
        yield opened
        await opened.drop(space)


@pytest.fixture
async def corpus_space(space: VectorSpace) -> VectorSpace:
    """The space of ``corpus_store``."""
    return space


@pytest.fixture
async def corpus_store(vectors: VectorStore, corpus_space: VectorSpace) -> VectorStore:
    """A store that holds the corpus."""
    await vectors.upsert(corpus_space, points())
    return vectors
