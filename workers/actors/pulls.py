"""The actor that brings models here: claim, pull, note."""

import time
from contextlib import aclosing

import msgspec

from core.events import EventLog
from core.models.events import Event, Failed, Finished, Progress
from core.models.jobs import JobStatus
from core.models.pulls import PullTask
from core.services.models.catalogue import LOOK_TOPIC
from core.services.pulls import Pulls as PullService
from pipelines.pulls.puller import Puller
from workers.attempt import Attempt

NOTE_EVERY_S = 1.0


class Pulls:
    """What ``pull_model`` does. A pull that another worker left goes on from the bytes that it left."""

    def __init__(self, *, events: EventLog, pulls: PullService, puller: Puller) -> None:
        self.events = events
        self.pulls = pulls
        self.puller = puller

    def __call__(self, attempt: Attempt) -> "Pull":
        """One attempt at a pull."""
        return Pull(self, attempt)


class Pull:
    """One claim's part of a pull."""

    keeps = True

    def __init__(self, by: Pulls, attempt: Attempt) -> None:
        self._by = by
        self._attempt = attempt
        self._id = attempt.claim.spec.id

    async def do(self) -> Finished:
        """Pull, and have workers look for what came."""
        parts: dict[str, tuple[int, int]] = {}
        noted_at = 0.0
        task = msgspec.json.decode(self._attempt.claim.input, type=PullTask)
        async with aclosing(self._by.puller.pull(task)) as steps:
            async for step in steps:
                self._attempt.add(step)
                if step.digest and step.total:
                    parts[step.digest] = (step.total, step.completed or 0)
                if time.monotonic() - noted_at >= NOTE_EVERY_S:
                    noted_at = time.monotonic()
                    await self._note(step, parts)
        await self._note(Progress(status="success"), parts)
        await self._by.events.notify(LOOK_TOPIC, b"")
        return Finished()

    async def keep(self, status: JobStatus, last: Event) -> None:
        """In the pull's row."""
        await self._by.pulls.finish(self._id, status, last.detail if isinstance(last, Failed) else None)

    async def _note(self, step: Progress, parts: dict[str, tuple[int, int]]) -> None:
        total = sum(total for total, _ in parts.values()) or None
        await self._by.pulls.progress(self._id, step.status, total, sum(completed for _, completed in parts.values()))
