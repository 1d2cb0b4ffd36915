"""A worker's parts in this process: what its own process would assemble, over the same Redis."""

import asyncio
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from dramatiq import Broker

from core.events import EventLog
from core.jobs import KINDS, queue_of, queues_of
from core.jobs.claims import Claims
from core.jobs.placement import Placement, begun_queue
from core.jobs.queue import JobQueue
from core.models.numerics import Numerics
from core.models.pools import Worker, WorkerState
from core.redis.workers import WorkerRegistry
from core.services import Services
from workers.attempt import Actor, Attempts
from workers.fetching import Fetching
from workers.leases import Leases

LEASE_MS = 500


class WorkerParts:
    """``actors``: by their kinds; ``models``: those that are served. It takes nothing before ``start``."""

    def __init__(
        self,
        name: str,
        *,
        claims: Claims,
        queue: JobQueue,
        events: EventLog,
        workers: WorkerRegistry,
        actors: Mapping[str, Actor],
        models: tuple[str, ...] = ("m",),
        places: int | None = None,
        flush_ms: int = 5,
    ) -> None:
        self.name = name
        self.pool = KINDS[next(iter(actors))].pool
        self.models = models
        self.numerics = dict[str, Numerics]()
        self.workers = workers
        self._queue = queue
        self.leases = Leases(claims, events, workers, lease_ms=LEASE_MS)
        self.attempts = Attempts(
            worker_id=name,
            claims=claims,
            queue=queue,
            leases=self.leases,
            placement=Placement(events, workers),
            actors=actors,
            flush_ms=flush_ms,
            time_limit_s=3_600,
        )
        self.fetching = Fetching(
            worker_id=name,
            pool=self.pool,
            queue=queue,
            claims=claims,
            events=events,
            make=self.attempts.make,
            places={kind: places or KINDS[kind].places or 32 for kind in actors},
            broker=Broker(middleware=[]),
        )
        self._kinds = tuple(actors)
        self.duties: list[asyncio.Task[Any]] = []

    def serve(self) -> None:
        """The models' queues, and those of answers that were begun with the same fingerprint."""
        queues = {queue: kind for kind in self._kinds for queue in queues_of(kind, self.models)}
        for model, found in self.numerics.items():
            if found.fingerprint and found.continued == "exact":
                queues[begun_queue(queue_of(self._kinds[0], model), found.fingerprint)] = self._kinds[0]
        self.fetching.serve(queues)

    def report(self) -> Worker:
        self.serve()
        state = WorkerState.DRAINING if self.leases.draining.is_set() else WorkerState.READY
        about: dict[str, Any] = {"host": "elsewhere", "pid": 1, "device": "cpu", "memory_bytes": 1, "started_at": 1, "state": state}
        return Worker(
            id=self.name,
            pool=self.pool,
            models=self.models,
            queues=self.fetching.queues,
            numerics=self.numerics,
            running=len(self.leases),
            **about,
        )

    async def start(self, *, takes: bool = True) -> None:
        """Show signs of life and hear of cancels; with ``takes`` take jobs, too."""
        await self.workers.report(self.report())
        duties = [lambda: self.leases.live(self.report), self.leases.hear_cancels]
        if takes:
            duties += [self.fetching.run, self.fetching.hear, self.fetching.compare]
        self.duties += [asyncio.create_task(duty()) for duty in duties]

    async def make(self, queue: str, job_id: str | None = None) -> bool:
        """Fetch what is first on a queue and work on it, as the loop does (or on ``job_id``, whoever has its message)."""
        if job_id is None:
            (message,) = await self._queue.fetch(queue, self.name, 1)
            job_id = str(message.args[0])
        counts_no_more = await self.attempts.make(job_id, queue)
        if counts_no_more:
            await self._queue.fetch(queue, self.name, 0, [job_id])
        return counts_no_more

    async def die(self) -> None:
        """As by kill -9, as far as Redis can see: no sign of life any more, and nothing is heard."""
        await stop(self.duties)
        self.duties.clear()


@asynccontextmanager
async def working(
    services: Services, name: str, actors: Mapping[str, Actor], models: tuple[str, ...] = ()
) -> AsyncGenerator[WorkerParts, None]:
    """A worker that takes jobs while the block runs."""
    worker = WorkerParts(
        name,
        claims=services.claims,
        queue=services.queue,
        events=services.events,
        workers=services.workers,
        actors=actors,
        models=models,
    )
    await worker.start()
    try:
        yield worker
    finally:
        await worker.leases.drain(0)
        await worker.die()


async def stop(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel tasks to their end: more than once, because redis-py and Python 3.11's wait_for lose one that comes at a bad moment."""
    left = set(tasks)
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=0.1)
