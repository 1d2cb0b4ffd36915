"""The actors that make answers: load, generate, save, publish."""

import asyncio
from contextlib import aclosing

from core.errors import PenstockError, UpstreamBroken
from core.events import EventLog
from core.jobs.claims import MAX_ATTEMPTS, Claim, Claims, Fenced
from core.logging import get_logger
from core.models.completions import Usage
from core.models.events import Cancelled, Event, Finished, Started
from core.models.generations import JobStatus
from core.models.numerics import Continued, Numerics
from core.services.answers import Answers
from pipelines.chat import Generator, Transcript, add_event, origin, prompt_of, replay
from workers.failures import failure
from workers.leases import Ending, Leases
from workers.log_writer import LogWriter

log = get_logger()


class Replies:
    """What ``generate_reply`` and ``relay_reply`` do with a job id; ``worker_id`` names this process."""

    def __init__(  # noqa: PLR0913 - each by its name, where the process is assembled
        self,
        *,
        worker_id: str,
        claims: Claims,
        leases: Leases,
        events: EventLog,
        answers: Answers,
        generator: Generator,
        flush_ms: int,
        timeout_s: float,
    ) -> None:
        """``timeout_s``: how long one worker may take over one answer, however lively its generator is."""
        self.worker_id = worker_id
        self.claims = claims
        self.leases = leases
        self.events = events
        self.answers = answers
        self.generator = generator
        self.flush_ms = flush_ms
        self.timeout_s = timeout_s

    async def make(self, job_id: str) -> None:
        """Claim a job and answer it, or go on where another worker stopped.

        Never raises: a job's failure is its log's last entry.
        """
        await self.leases.work(job_id, self.worker_id, self._make)

    async def _make(self, claim: Claim, held: Ending) -> str:
        seen = await self.events.read(claim.spec.id) if claim.epoch > 1 else []
        return await _Reply(self, claim, seen).make(held)


class _Reply:
    """One claim's part of an answer. ``seen``: what earlier claims gave to the log."""

    def __init__(self, by: Replies, claim: Claim, seen: list[tuple[str, Event]]) -> None:
        self._by = by
        self._claim = claim
        self._seen = seen
        self._writer = LogWriter(by.claims, claim, flush_ms=by.flush_ms)
        self._transcripts = replay(seen)
        self._relayed = False

    async def make(self, held: Ending) -> str:
        """Generate, save, publish; how it ended."""
        try:
            if self._claim.cancelled:
                return await self._end(JobStatus.CANCELLED, Cancelled())
            usage = await self._generate()
        except asyncio.CancelledError:
            return await self._interrupted(held)
        except Fenced:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, the readers must hear of it
            return await self._end(JobStatus.FAILED, failure(error, self._claim.spec, self._by.timeout_s))
        return await self._end(JobStatus.FINISHED, Finished(usage=usage))

    async def _generate(self) -> Usage:
        spec, begun = self._claim.spec, self._begun()
        if self._claim.attempt > MAX_ATTEMPTS:
            message = f"{self._claim.attempt - 1} workers died on this request one after the other, so it was given up."
            raise PenstockError(message)
        prompt = prompt_of(spec, await self._by.answers.chat(spec), self._seen)
        usage = Usage(prompt_tokens=0, completion_tokens=0, total_tokens=0)
        async with asyncio.timeout(self._by.timeout_s), aclosing(self._by.generator.generate(prompt)) as parts:
            self._writer.add(self._started(await self._by.generator.prepare(spec.served), begun=begun))
            async for part in parts:
                if isinstance(part, Usage):
                    usage = part
                    continue
                self._writer.add(part)
                add_event(self._transcripts, part)
        return usage

    def _started(self, numerics: Numerics | None, *, begun: bool) -> Started:
        """The promise of ``exact`` is the undisturbed answer, bit for bit: whoever computes other bits must have had no part in it."""
        self._relayed = numerics is None
        if begun and numerics is None:
            raise UpstreamBroken(_CUT)
        fingerprint = numerics.fingerprint if numerics else ""
        continued: Continued | None = None
        if begun and numerics:
            continued = numerics.continued if fingerprint and origin(self._seen) == fingerprint else "equivalent"
        return Started(
            model=self._claim.spec.model,
            attempt=self._claim.epoch,
            worker=self._by.worker_id,
            continued=continued,
            fingerprint=fingerprint,
        )

    async def _end(self, status: JobStatus, last: Event) -> str:
        """Save first, then say so: a worker that dies between the two is taken over, and its successor does both again.

        A stale one must not save.
        """
        if self._claim.spec.chat_id:
            await self._writer.flush()
            await self._by.answers.save(self._claim.spec, self._transcripts.get(0, Transcript()).text, status, last)
        await self._writer.end(status, (last,))
        return str(status)

    async def _interrupted(self, held: Ending) -> str:
        """Stopped by the user; or handed back, and then another worker goes on from what the log holds.

        An upstream's answer that has begun cannot go on: it fails, and says why.
        """
        if held.reason is None or held.reason == "lost":
            raise asyncio.CancelledError
        if held.reason == "stopped":
            return await self._end(JobStatus.CANCELLED, Cancelled())
        if self._relayed and self._begun():
            return await self._end(JobStatus.FAILED, failure(UpstreamBroken(_CUT), self._claim.spec, self._by.timeout_s))
        await self._writer.flush()
        await self._by.leases.give_back(self._claim)
        return "handed back"

    def _begun(self) -> bool:
        return any(transcript.text or transcript.tokens for transcript in self._transcripts.values())


_CUT = "The worker that relayed this answer stopped, and an upstream's answer cannot be continued. What arrived was kept; ask again."
