"""Jobs that are waited for like a call: submitted, followed to their end, and their result fetched, of which Redis keeps nothing then."""

import asyncio
import time
from contextlib import aclosing, suppress

from core.errors import PenstockError, Unavailable
from core.events import EventLog
from core.jobs import KINDS
from core.jobs.claims import Claims
from core.jobs.queue import JobQueue
from core.jobs.results import Results
from core.jobs.waiting import waiting_for
from core.models.events import Event, Failed, Finished
from core.models.jobs import JobSpec
from core.models.pools import Pool
from core.redis.workers import WorkerRegistry

LOOK_S = 2.5
PATIENCE_S = 10.0


class Calls:
    """Of jobs whose actors put a result (core.jobs.results)."""

    def __init__(self, *, workers: WorkerRegistry, claims: Claims, queue: JobQueue, events: EventLog, results: Results) -> None:
        self._workers = workers
        self._claims = claims
        self._queue = queue
        self._events = events
        self._results = results

    def new_id(self) -> str:
        """For the job's spec."""
        return self._events.new_id()

    async def make(self, spec: JobSpec, asked: bytes, *, patience_s: float = PATIENCE_S) -> tuple[Finished, bytes]:
        """How the job ended, and its result; ``asked``: its input; ``patience_s``: how long no worker may be there.

        Cancelled, it stops the job. Raises what the job failed with, and Unavailable where no worker lives that could do it.
        """
        self._events.expect(spec.id)
        await self._queue.submit(spec, asked)
        try:
            return await self._outcome(spec, patience_s, fresh=True)
        finally:
            await asyncio.shield(self.forget(spec.id))

    async def find_or_make(self, spec: JobSpec, asked: bytes, *, patience_s: float = PATIENCE_S) -> tuple[Finished, bytes]:
        """The same for a job whose id follows from what it is for: one that was asked for before is not made twice.

        Cancelled, it leaves the job to whoever asks next. Whoever has kept the result forgets the job.
        """
        await self._queue.submit(spec, asked)
        return await self._outcome(spec, patience_s, fresh=False)

    async def forget(self, job_id: str) -> None:
        """Stop a job that goes on, and keep nothing of it: what was asked may be long, and nobody will ask again."""
        with suppress(PenstockError):
            await self._claims.cancel(job_id)
            await self._results.forget(job_id)

    async def _outcome(self, spec: JobSpec, patience_s: float, *, fresh: bool) -> tuple[Finished, bytes]:
        with waiting_for(spec.kind):
            finished = await self._ended(spec.id, KINDS[spec.kind].pool, patience_s, fresh=fresh)
        data = await self._results.get(spec.id)
        if data is None:
            message = "This was done, but Redis has lost the result. Ask again."
            raise Unavailable(message, retry_after=1)
        return finished, data

    async def _ended(self, job_id: str, pool: Pool, patience_s: float, *, fresh: bool) -> Finished:
        """Wait for a job's end; not for ever for a worker that nobody has started.

        One that has died is soon there again, or another takes over, and one that is busy may be late with a sign of life: nobody is
        missing who was there at one look.
        """
        last = asyncio.ensure_future(self._last(job_id, fresh=fresh))
        seen = time.monotonic()
        try:
            while not (await asyncio.wait((last,), timeout=LOOK_S))[0]:
                if await self._workers.has_live_worker(pool):
                    seen = time.monotonic()
                elif time.monotonic() - seen >= patience_s:
                    message = f"No {pool} worker is running, and only that pool can answer this. Start one: penstock worker {pool}."
                    raise Unavailable(message, retry_after=5)
        finally:
            last.cancel()
        event = last.result()
        if isinstance(event, Finished):
            return event
        if isinstance(event, Failed):
            raise event.error()
        message = "This request was stopped."
        raise Unavailable(message)

    async def _last(self, job_id: str, *, fresh: bool) -> Event | None:
        event: Event | None = None
        async with aclosing(self._events.subscribe(job_id, fresh=fresh)) as entries:
            async for _, event in entries:  # noqa: B007 - the last one is what is wanted
                pass
        return event
