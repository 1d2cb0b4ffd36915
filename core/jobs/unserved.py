"""Queues that nobody serves: their jobs wait for a while, and then fail with what is wanting."""

import time

import msgspec

from core.errors import Unavailable
from core.jobs import KINDS, is_patient
from core.jobs.claims import Claims
from core.jobs.queue import JobQueue
from core.models.events import Failed
from core.models.jobs import JobSpec
from core.models.pools import Pool, WorkerState
from core.redis.keys import BEGUN, base_queue
from core.redis.workers import WorkerRegistry

PREFERENCE_S = 5.0
AT_ONCE = 1_000
RETRY_AFTER_S = 5


class _Model(msgspec.Struct, frozen=True, kw_only=True):
    """What payloads call the model that is to be asked, whatever their kind."""

    model: str = ""
    base_model: str = ""
    served: str = ""


class Unserved:
    """Every web process looks; several at once do no harm."""

    def __init__(self, *, claims: Claims, queue: JobQueue, workers: WorkerRegistry, wait_s: float) -> None:
        """``wait_s``: how long a job waits for a worker that could take it."""
        self._claims = claims
        self._queue = queue
        self._workers = workers
        self._wait_s = wait_s
        self._since: dict[str, float] = {}
        self._heads: dict[str, tuple[str, float]] = {}

    async def look(self) -> list[str]:
        """Look once; the ids of the jobs that were ended."""
        served = {queue for worker in await self._workers.list() if worker.state is WorkerState.READY for queue in worker.queues}
        queues = await self._queue.queues()
        waiting = [queue for queue, length in zip(queues, await self._queue.lengths(queues), strict=True) if length]
        self._since = {queue: since for queue, since in self._since.items() if queue in waiting and queue not in served}
        ended: list[str] = []
        now = time.monotonic()
        for queue in waiting:
            if BEGUN in queue and (queue not in served or await self._stands(queue)):
                await self._give_to_all(queue)
            elif queue not in served and not is_patient(queue) and now - self._since.setdefault(queue, now) >= self._wait_s:
                ended += await self._end(queue)
        return ended

    async def _stands(self, queue: str) -> bool:
        """Whether begun answers have waited for long enough for whoever computes the same bits: they are full."""
        (head,) = await self._queue.waiting(queue, 1) or [""]
        known, since = self._heads.get(queue, ("", 0.0))
        if head != known:
            self._heads[queue] = (head, time.monotonic())
            return False
        return bool(head) and time.monotonic() - since >= PREFERENCE_S

    async def _give_to_all(self, queue: str) -> None:
        for job_id in await self._queue.waiting(queue, AT_ONCE):
            if spec := await self._claims.spec(job_id):
                await self._queue.move(spec, queue, base_queue(queue))
            else:
                await self._queue.drop(job_id, queue)

    async def _end(self, queue: str) -> list[str]:
        ended = []
        for job_id in await self._queue.waiting(queue, AT_ONCE):
            spec = await self._claims.spec(job_id)
            if spec and await self._claims.fail(job_id, Failed.of(unserved(spec, waited_s=self._wait_s))):
                ended.append(job_id)
            await self._queue.drop(job_id, queue)
        return ended


def unserved(spec: JobSpec, *, waited_s: float = 0) -> Unavailable:
    """What a job waits for."""
    return nobody_serves(KINDS[spec.kind].pool, _model_of(spec), waited_s=waited_s)


def nobody_serves(pool: Pool, model: str = "", *, waited_s: float = 0) -> Unavailable:
    """No live worker of a pool serves a model."""
    what = f"serves the model {model!r}" if model else "is there"
    waited = f", and none came within {waited_s:g} seconds" if waited_s else ""
    return Unavailable(f"No live {pool} worker {what} now{waited}. Start one: penstock worker {pool}.", retry_after=RETRY_AFTER_S)


def _model_of(spec: JobSpec) -> str:
    if not KINDS[spec.kind].by_model:
        return ""
    found = spec.payload_as(_Model)
    return found.served or found.base_model or found.model
