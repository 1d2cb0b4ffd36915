"""One worker's attempt at a job, whatever its kind: claim, do, keep, tell.

An actor says how its kind is done and kept; whether a job finished, failed, was stopped, is handed back or given up is decided here.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any, Protocol, TypeVar

import msgspec

from core.errors import EngineFailed, PenstockError, Unavailable, UpstreamBroken
from core.jobs import Repeat
from core.jobs.claims import Claim, Claims, Fenced
from core.jobs.placement import Placement
from core.jobs.queue import JobQueue
from core.logging import bound, get_logger
from core.models.events import Cancelled, Delta, Event, Failed, Finished, Step, ToolCall, ToolResult
from core.models.jobs import JobStatus
from workers.failures import failure
from workers.leases import Ending, Leases
from workers.log_writer import LogWriter

FIRST_PAUSE_S, MAX_PAUSE_S = 0.1, 2.0
MAX_FAILURES = 8
PATIENCE_S = 900.0  # of a patient job, while something that it needs is away
CUT = "The worker that relayed this answer stopped, and an upstream's answer cannot be continued. What arrived was kept; ask again."

T = TypeVar("T")

log = get_logger()


class Attempt:
    """One claim, for the actor that works on it. ``queue``: where its message came from."""

    def __init__(self, claims: Claims, claim: Claim, held: Ending, writer: LogWriter, *, queue: str, worker_id: str) -> None:
        self.claim = claim
        self.held = held
        self.queue = queue
        self.worker_id = worker_id
        self._claims = claims
        self._writer = writer
        self._results: dict[str, msgspec.Raw] | None = None

    def add(self, event: Event) -> None:
        """An entry for the job's log. Raises Fenced where the job is another's now."""
        self._writer.add(event)
        if isinstance(event, Delta) and self.claim.kind.repeat is Repeat.ONCE:
            self.held.begun = True

    async def step(self, key: str, do: Callable[[], Awaitable[T]], gives: type[T]) -> T:
        """Do a part of the job, unless the log says that it is done: then what it gave. ``key`` is the part's within the job.

        ``gives``: its type, small and of JSON. A worker that dies before the log says so has it done again, so it must bear that.
        Raises Fenced where the job is another's now.
        """
        return await self._once(key, do, gives, Step)

    async def recall(self, key: str, gives: type[T]) -> T | None:
        """What a step gave that the log says is done; None where it does not."""
        done = (await self._done_before()).get(key)
        return None if done is None else msgspec.json.decode(done, type=gives)

    async def note(self, key: str, result: Any) -> None:
        """Tell that a step is done which was not known to be one before it was over. Raises Fenced where the job is another's now."""
        await self._note(key, result, Step)

    async def call(self, tool: ToolCall, do: Callable[[], Awaitable[T]], gives: type[T]) -> T:
        """Call a tool, unless the log holds what it gave. Readers hear of both. One that may not be called twice is to be given the key."""
        if tool.key not in await self._done_before():
            self._writer.add(tool)
            await self._writer.flush()
        return await self._once(tool.key, do, gives, ToolResult)

    async def _once(self, key: str, do: Callable[[], Awaitable[T]], gives: type[T], event: type[Step | ToolResult]) -> T:
        if key in (results := await self._done_before()):
            return msgspec.json.decode(results[key], type=gives)
        result = await do()
        await self._note(key, result, event)
        return result

    async def _note(self, key: str, result: Any, event: type[Step | ToolResult]) -> None:
        """Tell that something is done. Whoever takes over goes on behind it, so that the job can be handed back from here."""
        results = await self._done_before()
        results[key] = msgspec.Raw(msgspec.json.encode(result))
        self._writer.add(event(key=key, result=results[key]))
        await self._writer.flush()
        self.held.begun = False

    async def _done_before(self) -> dict[str, msgspec.Raw]:
        if self._results is None:
            self._results = await self._claims.results(self.claim)
        return self._results


class Work(Protocol):
    """A job being done. ``keeps``: how it ended is to be kept somewhere before anybody is told."""

    keeps: bool

    async def do(self) -> Finished:
        """All that is left of it. Cancelled, it stops. Raises core.errors."""

    async def keep(self, status: JobStatus, last: Event) -> None:
        """Keep how it ended. Done again where it fails, and by the next worker where this one dies."""


Actor = Callable[[Attempt], Work]


class Attempts:
    """All attempts of one worker process."""

    def __init__(  # noqa: PLR0913 - each by its name, where the process is assembled
        self,
        *,
        worker_id: str,
        claims: Claims,
        queue: JobQueue,
        leases: Leases,
        placement: Placement,
        actors: Mapping[str, Actor],
        flush_ms: int,
        time_limit_s: float,
    ) -> None:
        """``actors``: by their kinds; ``time_limit_s``: for the kinds that name none."""
        self._worker_id = worker_id
        self._claims = claims
        self._queue = queue
        self._leases = leases
        self._placement = placement
        self._actors = actors
        self._flush_ms = flush_ms
        self.time_limit_s = time_limit_s

    async def make(self, job_id: str, queue: str) -> bool:
        """Claim a job and do it, or go on where another worker stopped; whether its message counts no more.

        Never raises: a job's failure is its log's last entry. A job that another worker has is left to it.
        """
        claim = await self._claims.claim(job_id, self._worker_id)
        if claim is None:
            return True
        with bound(job_id=job_id, request_id=claim.spec.request_id, worker=self._worker_id):
            began, outcome = time.monotonic(), "fenced"
            writer = LogWriter(self._claims, claim, flush_ms=self._flush_ms)
            with suppress(Fenced), self._leases.hold(claim) as held:
                attempt = Attempt(self._claims, claim, held, writer, queue=queue, worker_id=self._worker_id)
                outcome = await self._make(attempt, writer)
            log.info("job", kind=claim.spec.kind, outcome=outcome, epoch=claim.epoch, seconds=round(time.monotonic() - began, 3))
            return outcome not in {"fenced", "handed back"}

    async def _make(self, attempt: Attempt, writer: LogWriter) -> str:
        work = self._actors[attempt.claim.spec.kind](attempt)
        try:
            status, last = await self._do(attempt, work)
            attempt.held.settled = True
            if work.keeps:
                await writer.flush()
                await self._keep(work, status, last)
            await writer.end(status, (last,))
            await self._queue.submit_next(attempt.claim.spec)
        except asyncio.CancelledError:
            if attempt.held.reason != "handed back":
                raise
            attempt.held.task.uncancel()
            return await self._hand_back(attempt, writer)
        except EngineFailed:  # this worker is about to go: the job is not at fault
            attempt.held.reason = attempt.held.reason or "handed back"  # the drain that follows does not cut this off
            return await self._hand_back(attempt, writer)
        return str(status)

    async def _do(self, attempt: Attempt, work: Work) -> tuple[JobStatus, Event]:
        claim, limit_s = attempt.claim, attempt.claim.kind.time_limit_s or self.time_limit_s
        limit = asyncio.get_running_loop().call_later(limit_s, attempt.held.end, "out of time")
        try:
            if refusal := _refusal(claim):
                return refusal
            return JobStatus.FINISHED, await _try(work, min(PATIENCE_S, limit_s / 2) if claim.kind.patient else 0)
        except asyncio.CancelledError:
            attempt.held.task.uncancel()
            if attempt.held.reason == "stopped":
                return JobStatus.CANCELLED, Cancelled()
            if attempt.held.reason == "out of time":
                return JobStatus.FAILED, _out_of_time(limit_s)
            if attempt.held.reason == "handed back" and attempt.held.begun:
                return JobStatus.FAILED, Failed.of(UpstreamBroken(CUT))
            raise
        except (Fenced, EngineFailed):
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, the readers must hear of it
            return JobStatus.FAILED, failure(error, claim.spec)
        finally:
            limit.cancel()

    async def _keep(self, work: Work, status: JobStatus, last: Event) -> None:
        """Keep first, then say so: a worker that dies between the two is taken over, and its successor does both again.

        A store that cannot be written to is tried again for as long as the job is ours; what fails for another reason, some times.
        """
        pause_s, failures = FIRST_PAUSE_S, 0
        while failures < MAX_FAILURES:
            try:
                return await work.keep(status, last)
            except Fenced:
                raise
            except Unavailable as error:
                log.warning("waiting", why=error.detail)
            except Exception:
                failures += 1
                log.exception("unhandled error")
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, MAX_PAUSE_S)
        return None

    async def _hand_back(self, attempt: Attempt, writer: LogWriter) -> str:
        """As its log stands: first on its queue, or on that of whoever computes the same bits."""
        await writer.flush()
        if await self._claims.hand_back(attempt.claim):
            spec = attempt.claim.spec
            onto = await self._placement.of(spec, but=self._worker_id)
            await self._queue.put_back(spec, attempt.queue, onto=onto, worker_id=self._worker_id)
        return "handed back"


async def _try(work: Work, patience_s: float) -> Finished:
    """Do it, again from the beginning where a store was away. Raises what it raises, Unavailable after so long."""
    pause_s, until = FIRST_PAUSE_S, time.monotonic() + patience_s
    while True:
        try:
            return await work.do()
        except EngineFailed:
            raise
        except Unavailable as error:
            if time.monotonic() >= until:
                raise
            log.warning("waiting", why=error.detail)
        await asyncio.sleep(pause_s)
        pause_s = min(2 * pause_s, MAX_PAUSE_S)


def _refusal(claim: Claim) -> tuple[JobStatus, Event] | None:
    """How a job ends that is not even begun."""
    if claim.cancelled:
        return JobStatus.CANCELLED, Cancelled()
    if claim.deaths >= claim.kind.max_deaths:
        return _failed(f"{claim.deaths} workers died on this request one after the other, so it was given up.")
    if claim.spec.deadline and time.time() > claim.spec.deadline:
        return _failed("Its deadline had passed before a worker was free.")
    return None


def _out_of_time(limit_s: float) -> Failed:
    return Failed.of(Unavailable(f"It took longer than {limit_s:g} seconds, which is the limit here. Ask for less."))


def _failed(detail: str) -> tuple[JobStatus, Event]:
    return JobStatus.FAILED, Failed(code=PenstockError.code, detail=detail)
