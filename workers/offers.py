"""Answers that were begun are offered first to workers that compute the same bits: only there they go on exactly.

Nothing rests on an offer. It is heard by whoever is connected now, and one that nobody takes is enqueued for all by the reaper.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing

from core.events import EventLog
from core.jobs.claims import Claims
from core.jobs.queue import JobQueue
from core.logging import get_logger
from core.models.numerics import Numerics
from core.models.pools import Pool
from core.redis.workers import WorkerRegistry
from pipelines.chat import origin

log = get_logger()


class Offers:
    """Made by every worker of every pool: to hand back a job, or to put back one whose worker is dead."""

    def __init__(self, *, claims: Claims, queue: JobQueue, events: EventLog, pools: WorkerRegistry) -> None:
        self._claims = claims
        self._queue = queue
        self._events = events
        self._pools = pools

    async def offer(self, job_id: str) -> bool:
        """Whether somebody heard of it. Where all workers of a model are alike nobody is asked: whoever is free goes on."""
        try:
            return await self._offer(job_id)
        except Exception:
            log.exception("unhandled error", job_id=job_id)
            return False

    async def _offer(self, job_id: str) -> bool:
        spec = await self._claims.spec(job_id)
        if spec is None:
            return False
        numerics = [worker.numerics.get(spec.served) for worker in await self._pools.list() if worker.pool is Pool.GPU]
        if len({found and found.fingerprint for found in numerics}) < 2:  # noqa: PLR2004 - alike
            return False
        fingerprint = origin(await self._events.read(job_id))
        if not fingerprint:
            return False
        await self._queue.set_aside(job_id)
        return bool(await self._events.notify(_topic(spec.served, fingerprint), job_id.encode()))


class Taker:
    """Takes offers, and all else that a worker answers, ``places`` at a time: an offer waits here until one is free.

    By then somebody else may have the job, and its claim is refused.
    """

    def __init__(self, events: EventLog, make: Callable[[str], Awaitable[None]], places: int) -> None:
        self._events = events
        self._make = make
        self._places = places
        self._running = 0
        self._offered: deque[str] = deque()
        self._taken: set[asyncio.Task[None]] = set()
        self._ears: dict[str, asyncio.Task[None]] = {}
        self._leaving = False

    async def make(self, job_id: str) -> None:
        """Make an answer that came by the queue."""
        self._running += 1
        await self._work(job_id)

    def listen(self, numerics: Mapping[str, Numerics]) -> None:
        """Hear of the answers that these models can go on with exactly. To be called again: models are loaded as they are asked."""
        for model, found in numerics.items():
            topic = _topic(model, found.fingerprint)
            ear = self._ears.get(topic)
            if found.fingerprint and found.continued == "exact" and not self._leaving and (ear is None or ear.done()):
                self._ears[topic] = asyncio.create_task(self._hear(topic))

    async def leave(self) -> None:
        """Hear no more. It comes before anything is handed back: what nobody hears is enqueued at once."""
        self._leaving = True
        self._offered.clear()
        for ear in self._ears.values():
            ear.cancel()
        await asyncio.gather(*self._ears.values(), return_exceptions=True)

    async def _hear(self, topic: str) -> None:
        async with aclosing(self._events.hear(topic)) as offers:
            async for job_id in offers:
                if job_id:
                    self._offered.append(job_id.decode())
                    self._take()

    def _take(self) -> None:
        while self._offered and self._running < self._places:
            self._running += 1
            task = asyncio.create_task(self._work(self._offered.popleft()))
            self._taken.add(task)
            task.add_done_callback(self._taken.discard)

    async def _work(self, job_id: str) -> None:
        try:
            await self._make(job_id)
        finally:
            self._running -= 1
            self._take()


def _topic(model: str, fingerprint: str) -> str:
    return f"begun:{fingerprint}:{model}"
