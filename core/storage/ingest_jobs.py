"""Jobs that put many files into knowledge bases: how each ended."""

import time
from typing import Any

import msgspec

from core.models.ingestion import IngestJob
from core.models.jobs import JobStatus
from core.storage.records.port import KEY, Collection, Filter, In, Index, Order, Records, to_record

COLLECTION = Collection("ingest_jobs", indexes=(Index(("user_id", "created_at")), Index(("created_at",)), Index(("status",))))

_NEWEST_FIRST = Order("created_at", descending=True)
_UNFINISHED = In(tuple(status.value for status in JobStatus if not status.ended))


class IngestJobs:
    """Rows of jobs."""

    def __init__(self, records: Records) -> None:
        self._records = records

    async def get(self, job_id: str) -> IngestJob | None:
        """One, whosoever."""
        return await self._records.get(COLLECTION, job_id, IngestJob)

    async def recent(self, user_id: str | None, limit: int) -> list[IngestJob]:
        """A user's, or everybody's: the newest first."""
        where: Filter = {} if user_id is None else {"user_id": user_id}
        return await self._records.find(COLLECTION, where, IngestJob, order=_NEWEST_FIRST, limit=limit)

    async def unfinished(self, limit: int) -> list[IngestJob]:
        """Some of those that have not ended, the oldest first."""
        return await self._records.find(COLLECTION, {"status": _UNFINISHED}, IngestJob, order=Order("created_at"), limit=limit)

    async def insert(self, job: IngestJob) -> None:
        """Add one."""
        await self._records.insert(COLLECTION, [to_record(job)])

    async def finish(self, job: IngestJob, status: JobStatus) -> IngestJob:
        """It has ended, now, with these counts. Who says so first is right: the job as it is then."""
        now = int(time.time())
        ended = msgspec.structs.replace(job, status=status, ended_at=now, updated_at=now)
        names = ("status", "completed", "failed", "chunks", "pages", "ended_at", "updated_at")
        changes: dict[str, Any] = {name: getattr(ended, name) for name in names}
        await self._records.update(COLLECTION, job.id, changes | {"status": status.value}, where={"status": _UNFINISHED})
        return await self.get(job.id) or ended

    async def remove(self, job_id: str) -> None:
        """Forget one."""
        await self._records.delete(COLLECTION, {KEY: job_id})

    async def remove_user(self, user_id: str) -> None:
        """Forget all of a user's."""
        await self._records.delete(COLLECTION, {"user_id": user_id})
