"""The actor that brings models here: claim, pull, note, tell."""

import asyncio
import time
from contextlib import aclosing

import msgspec

from core.errors import PenstockError
from core.events import EventLog
from core.jobs.claims import MAX_ATTEMPTS, Claim, Claims, Fenced
from core.models.completions import Usage
from core.models.events import Cancelled, Event, Failed, Finished, Progress
from core.models.generations import JobStatus
from core.models.pulls import PullTask
from core.services.models.models import LOOK_TOPIC
from core.services.pulls import Pulls as PullService
from pipelines.pulls.puller import Puller
from workers.failures import failure
from workers.leases import Ending, Leases
from workers.log_writer import LogWriter

NOTE_EVERY_S = 1.0
FLUSH_MS = 100
TIME_LIMIT_S = 24 * 3_600

_DONE = Finished(usage=Usage(prompt_tokens=0, completion_tokens=0, total_tokens=0))


class Pulls:
    """What ``pull_model`` does with a job id; ``worker_id`` names this process.

    A pull that another worker left goes on from the bytes that it left.
    """

    def __init__(self, *, worker_id: str, claims: Claims, leases: Leases, events: EventLog, pulls: PullService, puller: Puller) -> None:
        self._worker_id = worker_id
        self._claims = claims
        self._leases = leases
        self._events = events
        self._pulls = pulls
        self._puller = puller

    async def make(self, job_id: str) -> None:
        """Claim a job and do it. Never raises: a job's failure is its log's last entry."""
        await self._leases.work(job_id, self._worker_id, self._make)

    async def _make(self, claim: Claim, held: Ending) -> str:
        """Pull; how it ended."""
        writer = LogWriter(self._claims, claim, flush_ms=FLUSH_MS)
        try:
            if claim.cancelled:
                return await self._end(claim, writer, JobStatus.CANCELLED, Cancelled())
            await self._pull(claim, writer)
        except asyncio.CancelledError:
            return await self._interrupted(claim, writer, held)
        except Fenced:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, who waits must hear of it
            return await self._end(claim, writer, JobStatus.FAILED, failure(error, claim.spec, TIME_LIMIT_S))
        await self._events.notify(LOOK_TOPIC, b"")
        return await self._end(claim, writer, JobStatus.FINISHED, _DONE)

    async def _pull(self, claim: Claim, writer: LogWriter) -> None:
        if claim.attempt > MAX_ATTEMPTS:
            message = f"{claim.attempt - 1} workers died on this pull one after the other, so it was given up."
            raise PenstockError(message)
        parts: dict[str, tuple[int, int]] = {}
        noted_at = 0.0
        task = msgspec.json.decode(claim.spec.body, type=PullTask)
        async with asyncio.timeout(TIME_LIMIT_S), aclosing(self._puller.pull(task)) as steps:
            async for step in steps:
                writer.add(step)
                if step.digest and step.total:
                    parts[step.digest] = (step.total, step.completed or 0)
                if time.monotonic() - noted_at >= NOTE_EVERY_S:
                    noted_at = time.monotonic()
                    await self._note(claim, step, parts)
        await self._note(claim, Progress(status="success"), parts)

    async def _note(self, claim: Claim, step: Progress, parts: dict[str, tuple[int, int]]) -> None:
        total = sum(total for total, _ in parts.values()) or None
        await self._pulls.progress(claim.spec.id, step.status, total, sum(completed for _, completed in parts.values()))

    async def _interrupted(self, claim: Claim, writer: LogWriter, held: Ending) -> str:
        """Stopped by an administrator; or handed back, and then another worker goes on."""
        if held.reason is None or held.reason == "lost":
            raise asyncio.CancelledError
        if held.reason == "stopped":
            return await self._end(claim, writer, JobStatus.CANCELLED, Cancelled())
        await writer.flush()
        await self._leases.give_back(claim)
        return "handed back"

    async def _end(self, claim: Claim, writer: LogWriter, status: JobStatus, last: Event) -> str:
        """Note first, then say so: a worker that dies between the two is taken over, and its successor does both again."""
        await writer.flush()
        await self._pulls.finish(claim.spec.id, status, last.detail if isinstance(last, Failed) else None)
        await writer.end(status, (last,))
        return str(status)
