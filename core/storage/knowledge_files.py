"""Files' places in knowledge bases."""

from collections.abc import Sequence
from typing import Any

import msgspec

from core.models.knowledge import FileState, KnowledgeFile
from core.storage.records.port import KEY, Collection, In, Index, Order, Range, Records, to_record

COLLECTION = Collection(
    "knowledge_files",
    indexes=(
        Index(("knowledge_id", "key"), unique=True),
        Index(("knowledge_id", "updated_at")),
        Index(("file_id",)),
        Index(("state",)),
        Index(("cleaned",)),
        Index(("job_id", "state")),
    ),
    opaque=("metadata", "generations", "spaces", "obsolete"),
)

KEYS_AT_ONCE = 500

_AS_ADDED = Order("created_at")
_UNFINISHED = In(tuple(state.value for state in FileState if not state.ended))


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """A file in a base."""

    knowledge_id: str
    file_id: str


class Size(msgspec.Struct, frozen=True, kw_only=True):
    """How much of an entry can be found."""

    chunks: int
    pages: int | None = None


class Wait(msgspec.Struct, frozen=True, kw_only=True):
    """What is wanting for an entry to go on."""

    waiting: str | None = None


class KnowledgeFiles:
    """Rows of entries."""

    def __init__(self, records: Records) -> None:
        self._records = records

    async def get(self, entry_id: str) -> KnowledgeFile | None:
        """One, whosoever."""
        return await self._records.get(COLLECTION, entry_id, KnowledgeFile)

    async def of_base(self, knowledge_id: str, state: FileState | None = None) -> list[KnowledgeFile]:
        """A base's, as they were added; of one state where that is given."""
        where: dict[str, Any] = {"knowledge_id": knowledge_id, "removed": False}
        return await self._records.find(COLLECTION, where | ({"state": state.value} if state else {}), KnowledgeFile, order=_AS_ADDED)

    async def page(self, knowledge_id: str, after: KnowledgeFile | None, limit: int) -> list[KnowledgeFile]:
        """So many of a base's behind one of them, as they were added."""
        order = Order("created_at", after=(after.created_at, after.id)) if after else _AS_ADDED
        return await self._records.find(
            COLLECTION, {"knowledge_id": knowledge_id, "removed": False}, KnowledgeFile, order=order, limit=limit
        )

    async def whole(self, knowledge_id: str) -> list[KnowledgeFile]:
        """All of a base, removed ones among them."""
        return await self._records.find(COLLECTION, {"knowledge_id": knowledge_id}, KnowledgeFile)

    async def places(self, knowledge_ids: tuple[str, ...]) -> list[Place]:
        """Which files are in some bases, as they were added."""
        return await self._records.find(COLLECTION, {"knowledge_id": In(knowledge_ids), "removed": False}, Place, order=_AS_ADDED)

    async def changed(self, knowledge_id: str, since: int) -> list[KnowledgeFile]:
        """Those of a base that have changed at some time, in Unix seconds, or later; removed ones among them."""
        return await self._records.find(COLLECTION, {"knowledge_id": knowledge_id, "updated_at": Range(gte=since)}, KnowledgeFile)

    async def by_key(self, knowledge_id: str, key: str) -> KnowledgeFile | None:
        """The one of a key."""
        found = await self._records.find(COLLECTION, {"knowledge_id": knowledge_id, "key": key}, KnowledgeFile, limit=1)
        return found[0] if found else None

    async def of_keys(self, knowledge_id: str, keys: Sequence[str]) -> list[KnowledgeFile]:
        """Those that there are of some keys."""
        found: list[KnowledgeFile] = []
        for start in range(0, len(keys), KEYS_AT_ONCE):
            where: dict[str, Any] = {"knowledge_id": knowledge_id, "key": In(tuple(keys[start : start + KEYS_AT_ONCE]))}
            found += await self._records.find(COLLECTION, where, KnowledgeFile)
        return found

    async def of_job(self, job_id: str, state: FileState, limit: int | None = None) -> list[KnowledgeFile]:
        """Those of a job that are in some state."""
        return await self._records.find(COLLECTION, _of_job(job_id, state.value), KnowledgeFile, order=_AS_ADDED, limit=limit)

    async def unfinished_of_job(self, job_id: str) -> list[KnowledgeFile]:
        """Those of a job that are on their way."""
        return await self._records.find(COLLECTION, _of_job(job_id, _UNFINISHED), KnowledgeFile, order=_AS_ADDED)

    async def count_of_job(self, job_id: str) -> tuple[int, int]:
        """Of a job: how many are on their way, and how many have failed."""
        unfinished = await self._records.count(COLLECTION, _of_job(job_id, _UNFINISHED))
        return unfinished, await self._records.count(COLLECTION, _of_job(job_id, FileState.FAILED.value))

    async def sizes_of_job(self, job_id: str) -> list[Size]:
        """What can be found of a job's files."""
        return await self._records.find(COLLECTION, _of_job(job_id, FileState.READY.value), Size)

    async def waits_of_job(self, job_id: str, limit: int) -> list[Wait]:
        """Of so many of a job that are on their way, those that were added first."""
        return await self._records.find(COLLECTION, _of_job(job_id, _UNFINISHED), Wait, order=_AS_ADDED, limit=limit)

    async def stop_job(self, job_id: str, error: str, at: int) -> int:
        """What is on its way in a job has failed; how many there were."""
        changes: dict[str, Any] = {"state": FileState.FAILED.value, "error": error, "waiting": None, "updated_at": at}
        return await self._records.change(COLLECTION, _of_job(job_id, _UNFINISHED), changes)

    async def of_file(self, file_id: str) -> list[KnowledgeFile]:
        """All places of a file."""
        return await self._records.find(COLLECTION, {"file_id": file_id, "removed": False}, KnowledgeFile)

    async def unfinished(self, count: int) -> list[KnowledgeFile]:
        """Some of those that are on their way, each by a job of its own, the oldest first."""
        where: dict[str, Any] = {"state": _UNFINISHED, "removed": False, "job_id": None}
        return await self._records.find(COLLECTION, where, KnowledgeFile, order=Order("updated_at"), limit=count)

    async def count_unfinished(self, knowledge_id: str) -> int:
        """How many of a base are on their way."""
        return await self._records.count(COLLECTION, {"knowledge_id": knowledge_id, "state": _UNFINISHED, "removed": False})

    async def uncleaned(self, count: int) -> list[KnowledgeFile]:
        """Some of those of which the vector store holds more than can be found, the oldest first."""
        return await self._records.find(COLLECTION, {"cleaned": False}, KnowledgeFile, order=Order("updated_at"), limit=count)

    async def insert(self, *entries: KnowledgeFile) -> None:
        """Add some, all or none. Raises Conflict where a key is taken."""
        if entries:
            await self._records.insert(COLLECTION, [to_record(entry) for entry in entries])

    async def update(self, entry: KnowledgeFile, **changes: Any) -> bool:
        """Change fields of one whose revision is still this one's; whether it was."""
        return await self._records.update(COLLECTION, entry.id, changes, where={"revision": entry.revision})

    async def set_cleaned(self, entry: KnowledgeFile) -> None:
        """The vector store holds nothing else of it, unless it has changed meanwhile."""
        where: dict[str, Any] = {"revision": entry.revision, "updated_at": entry.updated_at}
        await self._records.update(COLLECTION, entry.id, {"cleaned": True}, where=where)

    async def remove(self, entry_id: str) -> None:
        """Forget one that is ``removed``, for good."""
        await self._records.delete(COLLECTION, {KEY: entry_id})


def _of_job(job_id: str, state: str | In) -> dict[str, Any]:
    return {"job_id": job_id, "state": state, "removed": False}
