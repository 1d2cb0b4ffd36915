"""Generations of chats: which answers were asked for, and how each ended."""

import time

from core.models.completions import Usage
from core.models.generations import Generation
from core.models.jobs import JobStatus
from core.storage.records.port import KEY, Collection, Filter, In, Index, Order, Range, Records, to_record

COLLECTION = Collection(
    "generations",
    indexes=(Index(("chat_id", "created_at")), Index(("user_id", "created_at")), Index(("status", "created_at"))),
    opaque=("usage",),
)

_UNFINISHED = tuple(status.value for status in JobStatus if not status.ended)
_BY_AGE = Order("created_at")


class Generations:
    """Rows of generations."""

    def __init__(self, records: Records) -> None:
        self._records = records

    async def get(self, generation_id: str) -> Generation | None:
        """One, whoever's."""
        return await self._records.get(COLLECTION, generation_id, Generation)

    async def insert(self, generation: Generation) -> None:
        """Add one."""
        await self._records.insert(COLLECTION, [to_record(generation)])

    async def remove(self, generation_id: str) -> None:
        """Take one away that came to nothing."""
        await self._records.delete(COLLECTION, {KEY: generation_id})

    async def running(self, *chat_ids: str) -> list[Generation]:
        """Those of some chats that have not ended, oldest first."""
        where = {"chat_id": chat_ids[0] if len(chat_ids) == 1 else In(chat_ids), "status": In(_UNFINISHED)}
        return await self._records.find(COLLECTION, where, Generation, order=_BY_AGE)

    async def unfinished(self, before: int, limit: int) -> list[Generation]:
        """Some of those that have not ended and were asked for before a time, in Unix seconds."""
        where: Filter = {"status": In(_UNFINISHED), "created_at": Range(lte=before)}
        return await self._records.find(COLLECTION, where, Generation, order=_BY_AGE, limit=limit)

    async def finish(self, generation_id: str, status: JobStatus, *, usage: Usage | None = None, error: str | None = None) -> None:
        """It has ended, now. Who says so first is right: saying it again changes nothing."""
        changes = {"status": status.value, "ended_at": int(time.time()), "usage": usage, "error": error}
        await self._records.update(COLLECTION, generation_id, changes, where={"status": In(_UNFINISHED)})

    async def remove_chats(self, *chat_ids: str) -> None:
        """Take all of some chats' away."""
        await self._records.delete(COLLECTION, {"chat_id": In(chat_ids)})
