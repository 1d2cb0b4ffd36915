"""What this process holds: its running jobs' leases are renewed, cancels reach them, and a drain hands them all back."""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, Literal, cast

from structlog.contextvars import bound_contextvars

from core.events import EventLog
from core.jobs import BY_QUEUE
from core.jobs.claims import CANCEL_TOPIC, Claim, Claims, Fenced, Held
from core.jobs.queue import JobQueue, Offer
from core.logging import get_logger

RENEWALS_PER_LEASE = 5
REAP_S = 0.5

log = get_logger()


class Ending:
    """A running job's task, and why it was cancelled: None where that was not us."""

    def __init__(self, claim: Claim, task: "asyncio.Task[Any]") -> None:
        self.claim = claim
        self.task = task
        self.reason: Literal["stopped", "handed back", "lost"] | None = None

    def end(self, reason: Literal["stopped", "handed back", "lost"]) -> None:
        """Cancel the task, between two tokens; the first reason stays."""
        if self.reason is None:
            self.reason = reason
            self.task.cancel()


class Leases:
    """The running jobs of one worker process."""

    def __init__(self, claims: Claims, queue: JobQueue, events: EventLog, *, lease_ms: int, offer: Offer | None = None) -> None:
        """``offer``: whether somebody heard of a job that is to be put back, and will take it. Without it all go on their queues."""
        self._claims = claims
        self._queue = queue
        self._events = events
        self._offer = offer
        self._renew_s = lease_ms / 1000 / RENEWALS_PER_LEASE
        self._running: dict[str, Ending] = {}
        self._busy = asyncio.Event()
        self._draining = False

    def __len__(self) -> int:
        """How many jobs run."""
        return len(self._running)

    async def work(self, job_id: str, worker_id: str, make: Callable[[Claim, Ending], Awaitable[str]]) -> None:
        """Claim a job, have it made and log how it ended, which ``make`` says. A job that another worker has is left to it."""
        claim = await self._claims.claim(job_id, worker_id)
        if claim is None:
            return
        with bound_contextvars(job_id=job_id, request_id=claim.spec.request_id, worker=worker_id):
            began, outcome = time.monotonic(), "fenced"
            with suppress(Fenced):
                async with self.hold(claim) as held:
                    outcome = await make(claim, held)
            log.info("job", model=claim.spec.model, outcome=outcome, epoch=claim.epoch, seconds=round(time.monotonic() - began, 3))

    @asynccontextmanager
    async def hold(self, claim: Claim) -> AsyncGenerator[Ending, None]:
        """Keep a claim for as long as the block runs. Its task is cancelled when the job is stopped, handed back or lost."""
        task = cast("asyncio.Task[Any]", asyncio.current_task())
        ending = self._running[claim.spec.id] = Ending(claim, task)
        self._busy.set()
        if self._draining:
            ending.end("handed back")
        try:
            yield ending
        except asyncio.CancelledError:
            if ending.reason != "lost":
                raise
            task.uncancel()
        finally:
            del self._running[claim.spec.id]

    async def give_back(self, claim: Claim) -> None:
        """Hand a job back as its log stands: offered, or first on its queue."""
        if await self._claims.hand_back(claim) and not (self._offer and await self._offer(claim.spec.id)):
            await self._queue.enqueue_again(BY_QUEUE[claim.spec.queue](id=claim.spec.id))

    async def drain(self) -> None:
        """Hand everything back, now."""
        self._draining = True
        endings = list(self._running.values())
        for ending in endings:
            ending.end("handed back")
        await asyncio.gather(*(ending.task for ending in endings), return_exceptions=True)

    async def renew(self) -> None:
        """Renew until cancelled; asleep while nothing runs."""
        while True:
            await self._busy.wait()
            if not self._running:
                self._busy.clear()
                continue
            claims = [ending.claim for ending in self._running.values()]
            for job_id, held in (await self._claims.renew(claims)).items():
                ending = self._running.get(job_id)
                if ending and held is not Held.KEPT:
                    ending.end("stopped" if held is Held.CANCELLED else "lost")
            await asyncio.sleep(self._renew_s)

    async def hear_cancels(self) -> None:
        """Stop jobs whose users say so; a cancel that is not heard is seen at the next renewal."""
        async for payload in self._events.hear(CANCEL_TOPIC):
            ending = self._running.get(payload.decode()) if payload else None
            if ending:
                ending.end("stopped")

    async def reap(self) -> None:
        """Offer or enqueue again what a dead worker left. Every worker of every pool does this."""
        while True:
            for job_id in await self._queue.reap(self._offer):
                log.warning("taken over", job_id=job_id)
            await asyncio.sleep(REAP_S)
