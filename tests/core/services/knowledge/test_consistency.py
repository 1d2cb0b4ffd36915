"""Bases and the vector store, counted against each other."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from core.models.knowledge import FileState, KnowledgeBase, KnowledgeFile
from core.services.knowledge.consistency import BaseCheck, compare
from core.settings import Settings
from core.storage import open_records
from core.storage.knowledge import Knowledge
from core.storage.knowledge_files import KnowledgeFiles
from core.storage.vectors import open_vectors
from core.storage.vectors.port import Passage, Point, VectorSpace, VectorStore, pack
from penstock.knowledge import check

SPACE = VectorSpace(model="words", dimensions=2)


class Bases:
    """One base, and both sides of it."""

    def __init__(self, bases: Knowledge, entries: KnowledgeFiles, store: VectorStore) -> None:
        self.bases = bases
        self.entries = entries
        self.store = store

    async def check(self, *, repair: bool = False) -> BaseCheck:
        (found,) = [found async for found in compare(self.bases, self.entries, self.store, repair=repair)]
        return found

    async def write(self, entry_id: str, generation: int, chunks: int) -> None:
        passages = [
            Passage(id=f"{place}", collection="base", file=entry_id, generation=generation, position=place, text="x")
            for place in range(chunks)
        ]
        await self.store.upsert(SPACE, [Point(passage=passage, vector=pack([1, 0])) for passage in passages])


@pytest.fixture
async def both(settings: Settings) -> AsyncIterator[Bases]:
    async with open_records(settings) as records, open_vectors(settings) as store:
        await store.setup(SPACE)
        bases = Bases(Knowledge(records), KnowledgeFiles(records), store)
        now = int(time.time())
        base: dict[str, Any] = {"name": "Mills", "description": "", "embedding_model": "words", "dimensions": 2}
        await bases.bases.insert(KnowledgeBase(id="base", user_id="me", created_at=now, updated_at=now, **base))
        yield bases


async def add(both: Bases, entry_id: str, *, chunks: int, state: FileState = FileState.READY, cleaned: bool = True) -> None:
    """A file of which a generation can be found."""
    file: dict[str, Any] = {
        "key": entry_id,
        "file_id": entry_id,
        "filename": f"{entry_id}.md",
        "content_type": "text/markdown",
        "size": 1,
        "hash": "",
    }
    about: dict[str, Any] = {
        "generations": {"words": 2},
        "spaces": {"words": 2},
        "revision": 2,
        "chunks": chunks,
        "state": state,
        "cleaned": cleaned,
    }
    entry = KnowledgeFile(id=entry_id, knowledge_id="base", user_id="me", created_at=1, updated_at=1, **file, **about)
    await both.entries.insert(entry)


async def test_what_is_the_same_on_both_sides_is_sound(both: Bases) -> None:
    await add(both, "one", chunks=3)
    await both.write("one", 2, 3)
    found = await both.check()
    assert (found.is_sound, found.files, found.chunks, found.waiting) == (True, 1, 3, 0)


async def test_what_the_store_has_lost_is_named(both: Bases) -> None:
    await add(both, "one", chunks=3)
    await both.write("one", 2, 1)
    found = await both.check()
    assert (found.is_sound, found.missing) == (False, {"one.md": 2})


async def test_what_nothing_finds_is_counted_and_taken_away(both: Bases) -> None:
    await add(both, "one", chunks=3)
    await both.write("one", 2, 3)
    await both.write("one", 1, 4)
    await both.write("forgotten", 7, 5)
    assert (await both.check()).stale == 9
    await both.check(repair=True)
    found = await both.check()
    assert (found.is_sound, found.chunks, found.stale) == (True, 3, 0)


async def test_what_is_on_its_way_in_or_out_is_no_fault(both: Bases) -> None:
    await add(both, "new", chunks=3, state=FileState.EMBEDDING)
    await add(both, "old", chunks=1, cleaned=False)
    for entry_id, generation, chunks in (("new", 2, 3), ("new", 3, 1), ("old", 2, 1), ("old", 1, 2)):
        await both.write(entry_id, generation, chunks)
    found = await both.check()
    assert (found.is_sound, found.waiting, found.stale) == (True, 3, 0)


async def test_doctor_says_what_is_faulty_and_what_to_do(both: Bases, settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    await add(both, "one", chunks=2)
    await both.write("one", 2, 1)
    await both.write("gone", 1, 5)
    assert not await asyncio.to_thread(check, settings, repair=False)
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(
        "faulty   Mills (base): 1 files, 2 chunks; 1 chunks of one.md are missing: index the base anew; 5 chunks that nothing"
    )
    assert line.endswith("penstock doctor --knowledge --repair")
