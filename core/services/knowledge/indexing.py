"""Has files indexed: the work is a worker's."""

import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress

import msgspec

from core.errors import PenstockError
from core.events import EventLog
from core.jobs import INDEX, INDEX_BULK, queue_of
from core.jobs.batches import Batches
from core.jobs.claims import Claims
from core.jobs.queue import JobQueue
from core.logging import get_logger, request_id
from core.models.batches import BatchJob, BatchStep
from core.models.jobs import JobSpec
from core.models.knowledge import IndexFile, KnowledgeFile

IN_FLIGHT = 32
RUNNING = "running"

log = get_logger(face="core")


class Indexing:
    """``begin`` may be called again for a revision of an entry: it is indexed once. What is lost on the way upkeep begins again.

    A revision has a job of its own, or is an item of a batch for as long as that runs.
    """

    def __init__(self, queue: JobQueue, claims: Claims, events: EventLog, batches: Batches) -> None:
        self._queue = queue
        self._events = events
        self._claims = claims
        self._batches = batches

    async def begin(self, entry: KnowledgeFile) -> None:
        """Have an entry indexed. Never raises: it is written down, and what is away now comes back."""
        try:
            await self.submit(entry)
        except PenstockError as error:
            log.warning("waiting", why=error.detail, entry=entry.id)

    async def submit(self, entry: KnowledgeFile) -> None:
        """The same. Raises Unavailable."""
        spec = JobSpec(
            id=own_job_of(entry),
            kind=INDEX,
            queue=queue_of(INDEX, class_=INDEX_BULK if entry.job_id else None),
            owner=entry.user_id,
            created_at=int(time.time()),
            payload=msgspec.Raw(msgspec.json.encode(_payload(entry))),
            request_id=request_id(),
        )
        await self._queue.submit(spec)

    async def begin_all(self, job_id: str, owner: str, entries: Sequence[KnowledgeFile]) -> None:
        """Have entries indexed by one batch, some at a time, behind those that have jobs of their own. Never raises."""
        queue = queue_of(INDEX, class_=INDEX_BULK)
        parent = JobSpec(id=job_id, kind=INDEX, queue=queue, owner=owner, created_at=int(time.time()), request_id=request_id())
        try:
            await self._batches.start(parent, [BatchStep(kind=INDEX, queue=queue)], map(_payload, entries), in_flight=IN_FLIGHT)
        except PenstockError as error:
            log.warning("waiting", why=error.detail, job_id=job_id)

    async def runs(self, job_id: str) -> bool:
        """Whether a batch runs. Raises Unavailable."""
        return await self._claims.state(job_id) == RUNNING

    async def is_known(self, job_id: str) -> bool:
        """Whether Redis knows a batch, ended or not. Raises Unavailable."""
        return await self._claims.state(job_id) is not None

    async def follow(self, entry: KnowledgeFile) -> AsyncGenerator[None, None]:
        """Something may have become of an entry: told now and then, until its job has ended; to be closed."""
        batch = entry.job_id if entry.job_id and await self.runs(entry.job_id) else None
        async with aclosing(self._events.subscribe(batch or own_job_of(entry))) as events:
            async for _ in events:
                yield

    async def stop(self, entry: KnowledgeFile) -> None:
        """Nobody needs it any more. Never raises."""
        with suppress(PenstockError):
            if entry.job_id:
                await self._claims.cancel(BatchJob(batch=entry.job_id, number=entry.item, step=1, attempt=1).id)
            await self._claims.cancel(own_job_of(entry))

    async def stop_all(self, job_id: str, entries: Sequence[KnowledgeFile]) -> None:
        """Nobody needs any of a batch: what is at work is told, what waits never begins. Raises Unavailable."""
        if await self._claims.cancel(job_id) == "queued":
            return
        for entry in entries:  # those that were lost from the batch, and begun again
            await self._claims.cancel(own_job_of(entry))


def job_id_of(entry: KnowledgeFile) -> str:
    """The job that indexes a revision: one with others, or its own."""
    return entry.job_id or own_job_of(entry)


def own_job_of(entry: KnowledgeFile) -> str:
    """One a revision, so that it is not indexed twice at a time."""
    return f"index-{entry.id}-{entry.revision}"


def _payload(entry: KnowledgeFile) -> IndexFile:
    return IndexFile(entry_id=entry.id, revision=entry.revision)
