"""Generations of chats: which answers were asked for, and how each ended."""

import time

import msgspec

from core.models.completions import Usage
from core.models.generations import Generation, JobStatus
from core.storage.records.port import KEY, Collection, In, Index, Order, Records

COLLECTION = Collection("generations", indexes=(Index(("chat_id", "created_at")), Index(("user_id", "created_at"))), opaque=("usage",))

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
        await self._records.insert(COLLECTION, [{KEY: generation.id, **msgspec.to_builtins(generation)}])

    async def running(self, *chat_ids: str) -> list[Generation]:
        """Those of some chats that have not ended, oldest first."""
        where = {"chat_id": chat_ids[0] if len(chat_ids) == 1 else In(chat_ids), "status": In(_UNFINISHED)}
        return await self._records.find(COLLECTION, where, Generation, order=_BY_AGE)

    async def finish(self, generation_id: str, status: JobStatus, *, usage: Usage | None = None, error: str | None = None) -> None:
        """It has ended, now. Who says so first is right: saying it again changes nothing."""
        changes = {"status": status.value, "ended_at": int(time.time()), "usage": msgspec.to_builtins(usage), "error": error}
        await self._records.update(COLLECTION, generation_id, changes, where={"status": In(_UNFINISHED)})

    async def remove_chats(self, *chat_ids: str) -> None:
        """Take all of some chats' away."""
        await self._records.delete(COLLECTION, {"chat_id": In(chat_ids)})
