"""Pulls of models: which were asked for, how far they are, and how each ended."""

import time
from typing import Any

from core.models.jobs import JobStatus
from core.models.pulls import Pull
from core.storage.records.port import Collection, Filter, In, Index, Order, Range, Records, to_record

COLLECTION = Collection("pulls", indexes=(Index(("slot",), unique=True), Index(("created_at",))))

_UNFINISHED = In(tuple(status.value for status in JobStatus if not status.ended))


class Pulls:
    """Rows of pulls. One that has not ended holds its ``slot``, of which there is one for each model and place."""

    def __init__(self, records: Records) -> None:
        self._records = records

    async def get(self, pull_id: str) -> Pull | None:
        """One."""
        return await self._records.get(COLLECTION, pull_id, Pull)

    async def in_slot(self, slot: str) -> Pull | None:
        """The one that holds a slot."""
        found = await self._records.find(COLLECTION, {"slot": slot}, Pull, limit=1)
        return found[0] if found else None

    async def recent(self, limit: int) -> list[Pull]:
        """The newest first."""
        return await self._records.find(COLLECTION, {}, Pull, order=Order("created_at", descending=True), limit=limit)

    async def unfinished(self, before: int, limit: int) -> list[Pull]:
        """Some of those that have not ended and were asked for before a time, in Unix seconds."""
        where: Filter = {"status": _UNFINISHED, "created_at": Range(lte=before)}
        return await self._records.find(COLLECTION, where, Pull, order=Order("created_at"), limit=limit)

    async def insert(self, pull: Pull, slot: str) -> None:
        """Add one. Raises Conflict where another holds the slot."""
        await self._records.insert(COLLECTION, [to_record(pull, slot=slot)])

    async def progress(self, pull_id: str, step: str, total: int | None, completed: int) -> None:
        """How far it is, now; one that has ended stays as it is."""
        changes: dict[str, Any] = {
            "step": step,
            "total": total,
            "completed": completed,
            "updated_at": int(time.time()),
        }
        await self._records.update(COLLECTION, pull_id, changes, where={"status": _UNFINISHED})

    async def finish(self, pull_id: str, status: JobStatus, *, error: str | None = None) -> None:
        """It has ended, now, and its slot is free. Who says so first is right."""
        now = int(time.time())
        changes = {"status": status.value, "error": error, "ended_at": now, "updated_at": now, "slot": pull_id}
        await self._records.update(COLLECTION, pull_id, changes, where={"status": _UNFINISHED})
