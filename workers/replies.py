"""The actors that make answers: load, generate, save, publish."""

import asyncio
import time
from collections.abc import Mapping
from contextlib import aclosing

from structlog.contextvars import bound_contextvars

from core.errors import PenstockError, UpstreamBroken
from core.events import EventLog
from core.jobs.claims import MAX_ATTEMPTS, Claim, Claims, Fenced
from core.logging import get_logger
from core.models.completions import Usage
from core.models.events import Cancelled, ChoiceFinished, Delta, Event, Failed, Finished, Started
from core.models.generations import GenerationStatus
from core.services.answers import Answers
from pipelines.chat import Generator, Transcript, prompt_of, replay
from workers.leases import Ending, Leases
from workers.writer import LogWriter

TIME_LIMIT_S = 3_600

log = get_logger()


class Replies:
    """What ``generate_reply`` and ``relay_reply`` do with a job id; ``worker_id`` names this process."""

    def __init__(self, *, worker_id: str, claims: Claims, leases: Leases, events: EventLog, answers: Answers, generator: Generator, flush_ms: int) -> None:
        self._worker_id = worker_id
        self._claims = claims
        self._leases = leases
        self._events = events
        self._answers = answers
        self._generator = generator
        self._flush_ms = flush_ms

    async def make(self, job_id: str) -> None:
        """Claim a job and answer it, or go on where another worker stopped. Never raises: a job's failure is its log's last entry."""
        claim = await self._claims.claim(job_id, self._worker_id)
        if claim is None:
            return
        with bound_contextvars(job_id=job_id, request_id=claim.spec.request_id, worker=self._worker_id):
            began, outcome = time.monotonic(), "fenced"
            try:
                async with self._leases.hold(claim) as held:
                    outcome = await self._answer(claim, held)
            except Fenced:
                pass
            log.info("job", model=claim.spec.model, outcome=outcome, epoch=claim.epoch, seconds=round(time.monotonic() - began, 3))

    async def _answer(self, claim: Claim, held: Ending) -> str:
        """One claim's part of an answer; how it ended."""
        writer = LogWriter(self._claims, claim, flush_ms=self._flush_ms)
        seen = await self._events.read(claim.spec.id) if claim.epoch > 1 else []
        transcripts = replay(seen)
        try:
            if claim.cancelled:
                return await self._end(writer, claim, transcripts, GenerationStatus.CANCELLED, Cancelled())
            usage = await self._generate(claim, writer, transcripts, seen)
        except asyncio.CancelledError:
            if held.reason is None or held.reason == "lost":
                raise
            if held.reason == "handed back":
                return await self._hand_back(writer, claim, transcripts)
            return await self._end(writer, claim, transcripts, GenerationStatus.CANCELLED, Cancelled())
        except TimeoutError:
            failed = Failed(code="unavailable", detail=f"The answer took longer than {TIME_LIMIT_S} seconds.")
            return await self._end(writer, claim, transcripts, GenerationStatus.FAILED, failed)
        except PenstockError as error:
            failed = Failed(code=error.code, detail=error.detail, retry_after=error.retry_after)
            return await self._end(writer, claim, transcripts, GenerationStatus.FAILED, failed)
        except Fenced:
            raise
        except Exception:
            log.exception("bug", model=claim.spec.model)
            failed = Failed(code="internal_error", detail=f"Something went wrong on our side. Reference: {claim.spec.id}.")
            return await self._end(writer, claim, transcripts, GenerationStatus.FAILED, failed)
        return await self._end(writer, claim, transcripts, GenerationStatus.FINISHED, Finished(usage=usage))

    async def _generate(self, claim: Claim, writer: LogWriter, transcripts: dict[int, Transcript], seen: list[tuple[str, Event]]) -> Usage:
        begun = any(transcript.text or transcript.tokens for transcript in transcripts.values())
        if claim.attempt > MAX_ATTEMPTS:
            message = f"{claim.attempt - 1} workers died on this request one after the other, so it was given up."
            raise PenstockError(message)
        if begun and self._generator.continued(claim.spec.model) is None:
            message = "The worker that relayed this answer stopped, and an upstream's answer cannot be continued. What arrived was kept; ask again."
            raise UpstreamBroken(message)
        prompt = prompt_of(claim.spec, await self._answers.chat(claim.spec), seen)
        writer.add(Started(model=claim.spec.model, attempt=claim.epoch, worker=self._worker_id, continued=self._generator.continued(claim.spec.model) if begun else None))
        usage = Usage(prompt_tokens=0, completion_tokens=0, total_tokens=0)
        async with asyncio.timeout(TIME_LIMIT_S), aclosing(self._generator.generate(prompt)) as parts:
            async for part in parts:
                if isinstance(part, Usage):
                    usage = part
                    continue
                writer.add(part)
                _note(transcripts, part)
        return usage

    async def _end(self, writer: LogWriter, claim: Claim, transcripts: Mapping[int, Transcript], status: GenerationStatus, last: Event) -> str:
        """Save first, then say so: a worker that dies between the two is taken over, and its successor does both again. A stale one must not save."""
        if claim.spec.chat_id:
            await writer.flush()
            await self._answers.save(claim.spec, transcripts.get(0, Transcript()).text, status, last)
        await writer.end(status, (last,))
        return str(status)

    async def _hand_back(self, writer: LogWriter, claim: Claim, transcripts: Mapping[int, Transcript]) -> str:
        """Another worker goes on from what the log holds. An upstream's answer that has begun cannot go on: it fails, and says why."""
        if self._generator.continued(claim.spec.model) is None and any(transcript.text for transcript in transcripts.values()):
            message = "The worker that relayed this answer was stopped, and an upstream's answer cannot be continued. What arrived was kept; ask again."
            return await self._end(writer, claim, transcripts, GenerationStatus.FAILED, Failed(code="upstream_broken", detail=message))
        await writer.flush()
        await self._leases.give_back(claim)
        return "handed back"


def _note(transcripts: dict[int, Transcript], part: Delta | ChoiceFinished) -> None:
    transcript = transcripts.setdefault(part.choice, Transcript())
    if isinstance(part, Delta):
        transcript.text += part.text
        transcript.tokens.extend(part.tokens)
    else:
        transcript.finish_reason = part.finish_reason
