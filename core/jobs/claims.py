"""Claims: a worker may die, or only be slow, at any token.

Dramatiq delivers at least once. A worker claims a job with an epoch that only grows and a nonce of its own: the append script refuses
whoever is not the last claimant. A claim lasts for as long as its worker shows signs of life (core.redis.workers); a dead worker's are
released by any process's reaper (core.jobs.reaper). Only running jobs are claimed: one that waits costs nothing.

A job ends for one of three reasons that are never mixed up: finished or failed by its worker, cancelled by its user.
Handing back only lets it wait again. What was asked may be large: it goes with the job's end, when no worker needs it any more.
Deaths count workers that died on a job since it last made progress.
"""

import asyncio
import itertools
import secrets
from collections.abc import Sequence
from enum import IntEnum

import msgspec

from core.errors import RateLimited, by_code
from core.jobs import ENDED_S, KINDS, Kind, claim_scripts
from core.jobs.compaction import Compaction, JobEnd, decode_spec
from core.models import events
from core.models.events import PROGRESS, Cancelled, Event, Failed, Step, ToolResult
from core.models.jobs import JobSpec, JobStatus
from core.redis.client import Scripts
from core.redis.keys import batch_keys, events_key, is_in_batch, job_key

CANCEL_TOPIC = "cancel"
NONCE_BYTES = 8
ENDED_STEP_S = 60  # one of a batch that went well: nobody reads its log
TRY_AGAIN_STATUS = 500  # what only fails for now, or for a reason that nobody foresaw


class Fenced(Exception):
    """Another worker has taken this job over, or it has ended: write nothing more."""


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """The right to write a job's log.

    ``input``: what was asked, as it came; ``prompt``: what an earlier claim has pinned; ``deaths``: how many workers have died on it since
    it last made progress; ``cancelled``: its user already stopped it.
    """

    spec: JobSpec
    input: bytes
    nonce: str
    epoch: int
    deaths: int
    cancelled: bool
    prompt: bytes = b""

    @property
    def kind(self) -> Kind:
        """Its row of the table."""
        return KINDS[self.spec.kind]


class Released(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a dead worker's job.

    ``spec``: it is to wait again; ``cancelled``: its user has stopped it; ``later``: it is begun, and its worker may yet come back.
    """

    spec: JobSpec | None = None
    deaths: int = 0
    was_running: bool = False
    cancelled: bool = False
    later: bool = False


class Held(IntEnum):
    """What became of a claim."""

    LOST = 0
    KEPT = 1
    CANCELLED = 2


class Claims:
    """The state of jobs in Redis. Every call is one script, safe to repeat after a lost answer."""

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts
        register = scripts.register
        self._claim, self._append = register(claim_scripts.CLAIM), register(claim_scripts.APPEND)
        self._hand_back, self._release = register(claim_scripts.HAND_BACK), register(claim_scripts.RELEASE)
        self._end = register(claim_scripts.END)
        self._compaction = Compaction(scripts)
        self._prefix, self._numbers = secrets.token_hex(NONCE_BYTES), itertools.count()

    async def claim(self, job_id: str, worker_id: str) -> Claim | None:
        """Take a job that waits; None where another holds it or it has ended."""
        nonce = f"{self._prefix}{next(self._numbers):x}"
        batch = batch_keys(job_id)[:1] if is_in_batch(job_id) else ()
        answer = await self._scripts.run(self._claim, (job_key(job_id), *batch), (worker_id, nonce))
        if not answer[0]:
            return None
        epoch, spec, asked, deaths, cancelled, prompt = answer
        return Claim(
            spec=msgspec.json.decode(spec, type=JobSpec),
            input=asked,
            nonce=nonce,
            epoch=epoch,
            deaths=deaths,
            cancelled=cancelled == b"1",
            prompt=prompt,
        )

    async def pin(self, claim: Claim, prompt: bytes) -> bytes:
        """Keep what an answer is made of, so that whoever takes it over makes it of the same; what is kept may be an earlier claim's."""
        if await self._scripts.command("HSETNX", job_key(claim.spec.id), "prompt", prompt):
            return prompt
        return await self._scripts.command("HGET", job_key(claim.spec.id), "prompt") or prompt

    async def results(self, claim: Claim) -> dict[str, msgspec.Raw]:
        """Of each step and tool call that earlier claims have told as done, by its key, what it gave."""
        if claim.epoch == 1:
            return {}
        entries = await self._scripts.command("XRANGE", events_key(claim.spec.id), "-", "+")
        told = [events.decode(payload) for _, (_, payload) in entries]
        return {event.key: event.result for event in told if isinstance(event, Step | ToolResult)}

    async def append(
        self, claim: Claim, seq: int, entries: Sequence[Event], *, end: JobStatus | None = None, before: Sequence[Event] = ()
    ) -> int:
        """Append entries as ``seq``, ``seq + 1``, …; with ``end`` the job ends in the same step, and Redis keeps it small.

        ``before``: what this claim has appended before them, for an end to be written without reading it. The last number that the log
        holds of this claim: less than ``seq - 1`` where Redis has lost some of what was appended before, and then nothing was appended; an
        end is written with all that is known. Raises Fenced for a stale claim.
        """
        if end:
            last = await self._finish(claim, seq, entries, end, before)
        else:
            progress = [entry for entry in entries if isinstance(entry, PROGRESS)]
            keys, kept_ms = (job_key(claim.spec.id), events_key(claim.spec.id)), claim.kind.unfinished_s * 1000
            open_ended = bool(progress) and not isinstance(progress[-1], Step | ToolResult)  # what nobody can go on with that must go on
            args = (claim.nonce, seq, kept_ms, int(bool(progress)) + int(open_ended))
            last = await self._scripts.run(self._append, keys, (*args, *map(events.encode, entries)))
        if last < 0:
            raise Fenced(claim.spec.id)
        return last

    async def _finish(self, claim: Claim, seq: int, entries: Sequence[Event], end: JobStatus, before: Sequence[Event]) -> int:
        log = [(f"{claim.epoch}-{number}", entry) for number, entry in enumerate((*before, *entries), seq - len(before))]
        soon = end is JobStatus.FINISHED and is_in_batch(claim.spec.id)
        kept_s, again = ENDED_STEP_S if soon else claim.kind.ended_s, _may_try_again(claim, entries[-1])
        job_end = JobEnd(status=end, log=log, told=len(before), kept_s=kept_s, again=again)
        ended = await self._compaction.finish(claim.spec, claim.nonce, job_end)
        return seq + len(entries) - 1 if ended else -1

    async def look(self, claims: Sequence[Claim]) -> list[Held]:
        """Of each claim: whether it is still ours, and the job still wanted."""
        asked = [self._scripts.command("HMGET", job_key(claim.spec.id), "claim", "state", "cancel") for claim in claims]
        found = await asyncio.gather(*asked)
        return [_held(claim, *fields) for claim, fields in zip(claims, found, strict=True)]

    async def hand_back(self, claim: Claim) -> bool:
        """Give a job up as it stands; it is to be put back on a queue. False where it was no longer ours."""
        return bool(await self._scripts.run(self._hand_back, (job_key(claim.spec.id),), (claim.nonce,)))

    async def release(self, job_id: str, worker_id: str, *, patient: bool) -> Released:
        """Take a job from a dead worker. ``patient``: not one that has begun and that nobody else could go on with."""
        answer = await self._scripts.run(self._release, (job_key(job_id),), (worker_id, int(patient)))
        state, spec = answer[0], msgspec.json.decode(answer[1], type=JobSpec) if len(answer) > 1 else None
        if state == b"begun":
            return Released(later=True)
        if spec is None:
            return Released()
        return Released(spec=spec, deaths=answer[2], was_running=state == b"running", cancelled=answer[3] == b"1")

    async def cancel(self, job_id: str) -> str:
        """Stop a job for its user.

        ``queued``: it has ended here and now; ``running``: its worker is told; otherwise how it had already ended, or
        ``gone``.
        """
        ended = await self._end_waiting(job_id, Cancelled(), JobStatus.CANCELLED)
        if ended in {"batch", JobStatus.CANCELLED}:
            for child_id in await self._scripts.command("HVALS", batch_keys(job_id)[4]):
                await self._end_waiting(child_id.decode(), Cancelled(), JobStatus.CANCELLED)
        return "queued" if ended == "batch" else ended

    async def fail(self, job_id: str, why: Failed) -> bool:
        """End a job that waits, because nobody will take it. False where it does not wait."""
        return await self._end_waiting(job_id, why, JobStatus.FAILED) == "queued"

    async def state(self, job_id: str) -> str | None:
        """``queued``, ``running``, or how it has ended; None where Redis does not know it."""
        stored: bytes | None = await self._scripts.command("HGET", job_key(job_id), "state")
        return stored.decode() if stored else None

    async def spec(self, job_id: str) -> JobSpec | None:
        """A job's spec, while Redis keeps it."""
        stored = await self._scripts.command("HGET", job_key(job_id), "spec")
        return decode_spec(stored) if stored else None

    async def _end_waiting(self, job_id: str, last: Event, status: JobStatus) -> str:
        args = (job_id, str(status), events.encode(last), ENDED_S * 1000, CANCEL_TOPIC)
        answer: bytes = await self._scripts.run(self._end, (job_key(job_id), events_key(job_id), *batch_keys(job_id)), args)
        if answer == b"queued" and (spec := await self.spec(job_id)):
            await self._compaction.compact(spec)
        return answer.decode()


def _may_try_again(claim: Claim, last: Event) -> bool:
    """Whether a step of a batch might end better: it did not fail for what was asked, and did not cost several workers their lives."""
    if not isinstance(last, Failed) or claim.deaths >= claim.kind.max_deaths:
        return False
    return by_code(last.code).status >= TRY_AGAIN_STATUS or by_code(last.code).status == RateLimited.status


def _held(claim: Claim, nonce: bytes | None, state: bytes | None, cancel: bytes | None) -> Held:
    if nonce != claim.nonce.encode() or state != b"running":
        return Held.LOST
    return Held.CANCELLED if cancel else Held.KEPT
