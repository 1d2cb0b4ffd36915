"""Jobs that put many files into bases: listed, followed, stopped, and ended in their records."""

import re
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

import msgspec

from core.errors import BadRequest, NotFound
from core.events import START, EventLog, position
from core.models.events import Event
from core.models.ingestion import IngestJob
from core.models.jobs import JobStatus
from core.models.knowledge import FileState, KnowledgeFile
from core.models.users import Principal
from core.services.knowledge.indexing import IN_FLIGHT, Indexing
from core.storage.ingest_jobs import IngestJobs as JobRows
from core.storage.knowledge_files import KnowledgeFiles as EntryRows

YOUNG_S = 30  # longer than a submission waits for a Redis that is away
AT_ONCE = 500
STOPPED = "Indexing it was stopped."

_EVENT_ID = re.compile(r"\d{1,15}(-\d{1,15})?")
_NO_JOB = "There is no such job. It may belong to somebody else. Look at GET /api/jobs/ for yours."


class IngestJobs:
    """The service of jobs. What their files' entries say is the truth; Redis says what a worker has in hand."""

    def __init__(self, *, jobs: JobRows, rows: EntryRows, indexing: Indexing, events: EventLog) -> None:
        self._jobs = jobs
        self._rows = rows
        self._indexing = indexing
        self._events = events

    async def list(self, principal: Principal, limit: int) -> Sequence[IngestJob]:
        """Their own, for administrators everybody's: the newest first."""
        found = await self._jobs.recent(None if principal.is_admin else principal.id, limit)
        return [job if job.status.ended else await self._settled(job) for job in found]

    async def get(self, principal: Principal, job_id: str) -> IngestJob:
        """One of theirs; for administrators anybody's. Raises NotFound."""
        job = await self._find(principal, job_id)
        return job if job.status.ended else await self._settled(job)

    async def failures(self, job: IngestJob, limit: int) -> Sequence[KnowledgeFile]:
        """What has failed in a job, and has not been tried again."""
        return await self._rows.of_job(job.id, FileState.FAILED, limit)

    async def listen(self, principal: Principal, job_id: str, after: str = START) -> AsyncGenerator[tuple[str, Event], None]:
        """A job's events after an id; none where they are no longer kept. Raises NotFound, BadRequest."""
        if not _EVENT_ID.fullmatch(after):
            message = f"{after[:40]!r} is not an event id. Send the id of the last event you saw, or nothing."
            raise BadRequest(message, param="Last-Event-ID")
        job = await self._find(principal, job_id)
        if job.status.ended and not await self._indexing.is_known(job.id):
            return
        epoch, seq = position(after)
        async with aclosing(self._events.subscribe(job.id, f"{epoch}-{seq}")) as entries:
            async for entry in entries:
                yield entry

    async def cancel(self, principal: Principal, job_id: str) -> IngestJob:
        """Stop a job: workers let go of its files, what waits never begins, and what is ready stays. Again is as good as once.

        Raises NotFound, Unavailable.
        """
        job = await self._find(principal, job_id)
        if job.status.ended:
            return job
        await self._indexing.stop_all(job.id, await self._rows.unfinished_of_job(job.id))
        await self._rows.stop_job(job.id, STOPPED, int(time.time()))
        return await self._jobs.finish(await self._counted(job), JobStatus.CANCELLED)

    async def lost(self) -> Sequence[KnowledgeFile]:
        """For upkeep: end what has ended; what is on its way in jobs that Redis has lost, or ended without it. Raises Unavailable."""
        lost: list[KnowledgeFile] = []
        for job in await self._jobs.unfinished(AT_ONCE):
            if not (await self._settled(job)).status.ended and not await self._indexing.runs(job.id):
                lost += await self._rows.unfinished_of_job(job.id)
        return lost

    async def _find(self, principal: Principal, job_id: str) -> IngestJob:
        job = await self._jobs.get(job_id)
        if job is None or not (job.user_id == principal.id or principal.is_admin):
            raise NotFound(_NO_JOB)
        return job

    async def _settled(self, job: IngestJob) -> IngestJob:
        """One in progress as it is now, or ended where nothing of it is on its way. One that is just being begun is not."""
        counted = await self._counted(job)
        on_its_way = counted.completed + counted.failed < counted.total
        young = time.time() - job.created_at < YOUNG_S
        if on_its_way or (young and not await self._indexing.is_known(job.id)) or await self._indexing.runs(job.id):
            return counted
        return await self._jobs.finish(counted, JobStatus.FINISHED)

    async def _counted(self, job: IngestJob) -> IngestJob:
        """What was taken out or replaced meanwhile is done, too."""
        unfinished, failed = await self._rows.count_of_job(job.id)
        waits = await self._rows.waits_of_job(job.id, IN_FLIGHT) if unfinished else ()
        sizes = await self._rows.sizes_of_job(job.id)
        return msgspec.structs.replace(
            job,
            completed=max(0, job.total - unfinished - failed),
            failed=failed,
            chunks=sum(size.chunks for size in sizes),
            pages=sum(size.pages or 0 for size in sizes),
            waiting=next((wait.waiting for wait in waits if wait.waiting), None),
            updated_at=int(time.time()),
        )
