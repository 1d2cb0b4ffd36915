"""What dead workers left is put back on its queue.

A worker's hands are what Dramatiq's sets say that it was given. Whoever could not look at the workers for a while, because Redis was away
or silent or the process itself stopped, waits a lease longer: the workers could not show that they live either.
"""

import asyncio
import os
import socket
import time
from collections.abc import Awaitable, Callable

from core.jobs import SUSPECT_DEATHS
from core.jobs.claims import Claims, Released
from core.jobs.queue import JobQueue
from core.logging import get_logger
from core.models.jobs import JobSpec
from core.models.pools import Worker
from core.redis.keys import SUSPECTS, base_queue
from core.redis.workers import WorkerRegistry

LOOK_S = 0.5
BLIND_S = 3 * LOOK_S
COME_BACK_S = 6.0
HALF_SUBMITTED_S = 5.0
NEVER_RECORDED_S = 120.0  # whoever submits gives up long before

log = get_logger()

Place = Callable[[JobSpec], Awaitable[str]]  # the queue for a job that was begun


class Reaper:
    """Every worker of every pool, and every web process, has one. Several at once do no harm."""

    def __init__(self, *, claims: Claims, queue: JobQueue, workers: WorkerRegistry, lease_ms: int, place: Place) -> None:
        """``place``: where a job is put back that was begun."""
        self._claims = claims
        self._queue = queue
        self._workers = workers
        self._lease_s = lease_ms / 1000
        self._place = place
        self._looked_at: float | None = None
        self._patient_until = 0.0

    async def reap(self) -> list[str]:
        """Look once; the ids of the jobs that were taken from workers."""
        dead = await self._workers.dead()
        await self._know_blindness()
        taken: list[str] = []
        if time.monotonic() < self._patient_until:
            return taken
        for worker, dead_ms in dead:
            taken += await self._take_all(worker, patient=dead_ms < COME_BACK_S * 1000 and not _is_gone(worker))
        return taken

    async def complete_submissions(self) -> None:
        """On a Cluster: what somebody began to submit, and did not end."""
        for queue in await self._queue.queues():
            given_up = await self._queue.half_submitted(queue, NEVER_RECORDED_S)
            for job_id in await self._queue.half_submitted(queue, HALF_SUBMITTED_S):
                spec = await self._claims.spec(job_id)
                if spec or job_id in given_up:
                    await self._queue.complete(spec, job_id, queue)

    async def _know_blindness(self) -> None:
        now, looked_at = time.monotonic(), self._looked_at
        blind = await self._workers.uptime_s() < 2 * self._lease_s if looked_at is None else now - looked_at > BLIND_S
        self._looked_at = now
        if blind:
            self._patient_until = now + self._lease_s

    async def _take_all(self, worker: Worker, *, patient: bool) -> list[str]:
        taken, later = [], False
        for queue in worker.queues:
            for job_id in await self._queue.in_hand(queue, worker.id):
                released = await self._claims.release(job_id, worker.id, patient=patient)
                later = later or released.later
                if released.later:
                    continue
                if released.cancelled:
                    await self._claims.cancel(job_id)  # its worker was told, and is not there to do it
                if released.spec is None or released.cancelled:
                    await self._queue.forget(job_id, queue, worker.id)
                else:
                    await self._put_back(released, released.spec, queue, worker)
                    taken += [job_id] if released.was_running else []
        if not later:
            await self._workers.forget(worker.id, dead=True)
        return taken

    async def _put_back(self, released: Released, spec: JobSpec, queue: str, worker: Worker) -> None:
        """One on which several workers died without any progress is suspected of it: it is tried again alone, after the other suspects."""
        if released.deaths >= SUSPECT_DEATHS:
            await self._queue.put_back(spec, queue, onto=base_queue(queue) + SUSPECTS, worker_id=worker.id, first=False)
        else:
            onto = await self._place(spec) if released.was_running else None
            await self._queue.put_back(spec, queue, onto=onto, worker_id=worker.id)


async def reap(reaper: Reaper) -> None:
    """Look now and then, until cancelled."""
    while True:
        for job_id in await reaper.reap():
            log.warning("taken over", job_id=job_id)
        await asyncio.sleep(LOOK_S)


def _is_gone(worker: Worker) -> bool:
    """Whether its process is known not to come back: it was on this machine, and is no more."""
    if worker.host != socket.gethostname():
        return False
    try:
        os.kill(worker.pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass
    return False
