"""What this process holds: it shows signs of life, cancels reach its running jobs, and a drain hands them back or lets them finish."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Literal, cast

from core.events import EventLog
from core.jobs.claims import CANCEL_TOPIC, Claim, Claims, Held
from core.logging import get_logger
from core.models.pools import Worker
from core.redis.workers import IDLE_MS, WorkerRegistry

BEATS_PER_LEASE = 5
IDLE_BEAT_S = 1.0
LOOK_S = 2.0

Reason = Literal["stopped", "handed back", "lost", "out of time"]

log = get_logger()


class Ending:
    """A running job's task, and why it was cancelled: None where that was not us.

    ``begun``: it cannot be handed back any more, and a drain lets it finish. ``settled``: it is over, and only to be kept: no stop counts.
    """

    def __init__(self, claim: Claim, task: "asyncio.Task[Any]") -> None:
        self.claim = claim
        self.task = task
        self.reason: Reason | None = None
        self.begun = False
        self.settled = False

    def end(self, reason: Reason) -> None:
        """Cancel the task, between two tokens; the first reason stays."""
        if self.reason is None and not (self.settled and reason == "stopped"):
            self.reason = reason
            self.task.cancel()


class Leases:
    """The running jobs of one worker process, and its standing in the registry."""

    def __init__(self, claims: Claims, events: EventLog, workers: WorkerRegistry, *, lease_ms: int) -> None:
        self._claims = claims
        self._events = events
        self._workers = workers
        self._lease_ms = lease_ms
        self._running: dict[str, Ending] = {}  # by their claims' nonces: of one job there may be two, where a claim was lost
        self._busy = asyncio.Event()
        self._looked_at = 0.0
        self.draining = asyncio.Event()

    def __len__(self) -> int:
        """How many jobs run."""
        return len(self._running)

    @contextmanager
    def hold(self, claim: Claim) -> Iterator[Ending]:
        """Keep a claim for as long as the block runs. Its task is cancelled when the job is stopped, handed back or lost."""
        task = cast("asyncio.Task[Any]", asyncio.current_task())
        ending = self._running[claim.nonce] = Ending(claim, task)
        self._busy.set()
        if self.draining.is_set():
            ending.end("handed back")
        try:
            yield ending
        except asyncio.CancelledError:
            if ending.reason != "lost":
                raise
            task.uncancel()
        finally:
            del self._running[claim.nonce]
            if not self._running:
                self._busy.clear()

    async def drain(self, grace_s: float) -> None:
        """Hand everything back, now; what cannot be handed back has ``grace_s`` seconds to finish."""
        self.draining.set()
        endings = list(self._running.values())
        for ending in endings:
            if not ending.begun and not ending.settled:
                ending.end("handed back")
        tasks = [ending.task for ending in endings]
        if tasks:
            await asyncio.wait(tasks, timeout=grace_s)
        for ending in endings:
            ending.end("handed back")
        await asyncio.gather(*tasks, return_exceptions=True)

    async def live(self, report: Callable[[], Worker], forgotten: Callable[[], None] = lambda: None) -> None:
        """Show signs of life until cancelled: while jobs run several times a lease, else now and then; and report what has changed.

        ``forgotten`` is called where Redis has lost what was reported.
        """
        told, told_at = None, 0.0
        while True:
            now, is_busy = time.monotonic(), bool(self._running)
            lasts_ms = self._lease_ms if is_busy else max(IDLE_MS, self._lease_ms)
            worker = report()
            if worker != told and now - told_at >= IDLE_BEAT_S:
                await self._workers.report(worker, lasts_ms)
                told, told_at = worker, now
            sign = await self._workers.beat(worker.id, lasts_ms)
            if not sign.known:
                told = None
                forgotten()
            if sign.draining:
                self.draining.set()
            if self._running and (not sign.in_time or now - self._looked_at >= LOOK_S):
                await self.look()
            pause_s = self._lease_ms / 1000 / BEATS_PER_LEASE if is_busy else IDLE_BEAT_S  # what is over meanwhile was busy when it beat
            with suppress(TimeoutError):
                await asyncio.wait_for(self._idle_until_busy(), pause_s)

    async def look(self) -> None:
        """Ask of each running job whether it is still ours and still wanted."""
        self._looked_at = time.monotonic()
        endings = list(self._running.values())
        for ending, held in zip(endings, await self._claims.look([ending.claim for ending in endings]), strict=True):
            if held is not Held.KEPT and ending.claim.nonce in self._running:
                ending.end("stopped" if held is Held.CANCELLED else "lost")

    async def hear_cancels(self) -> None:
        """Stop jobs whose users say so. Where something may have been missed, all are looked at."""
        async for payload in self._events.hear(CANCEL_TOPIC):
            if payload is None:
                await self.look()
            for ending in list(self._running.values()):
                if payload and ending.claim.spec.id == payload.decode():
                    ending.end("stopped")

    async def _idle_until_busy(self) -> None:
        """While nothing runs, return as soon as something does: from then on a lease counts."""
        if self._running:
            await asyncio.Event().wait()
        await self._busy.wait()
