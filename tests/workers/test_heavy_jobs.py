"""Jobs whose work is done in children, from the queue to the log's last entry: a kind of job that only these tests have."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from core.jobs import KINDS, Kind, Repeat, queue_of
from core.jobs.results import Results
from core.models.events import ENDS, Cancelled, Event, Failed, Finished
from core.models.jobs import JobSpec, JobStatus
from core.models.pools import Pool
from tests.job_backend import JobBackend, jobs_url
from tests.polling import until
from tests.worker_parts import LEASE_MS, WorkerParts
from tests.workers.process_ids import gone, told
from workers.attempt import Attempt
from workers.children import Children, Limits

__all__ = ["jobs_url"]  # one Redis: what children do, they do far from it

HEAVY = Kind(actor="do_heavy_work", pool=Pool.CPU, classes=("heavy",), by_model=False, repeat=Repeat.RESTART, places=4)
LIMITS = Limits(seconds=60, memory_bytes=512 << 20, output_bytes=1 << 20)
LEASES = 6


class HeavyWork:
    """The kind's actor, and the work on one job: a function's name is the payload, its own payload the job's input."""

    keeps = False

    def __init__(self, children: Children, results: Results, attempt: Attempt | None = None) -> None:
        self._children = children
        self._results = results
        self._attempt = attempt

    def __call__(self, attempt: Attempt) -> "HeavyWork":
        return HeavyWork(self._children, self._results, attempt)

    async def do(self) -> Finished:
        assert self._attempt
        claim = self._attempt.claim
        await self._results.put(claim.spec.id, await self._children.run(claim.spec.payload_as(str), claim.input))
        return Finished()

    async def keep(self, status: JobStatus, last: Event) -> None:
        """Nothing more."""


@pytest.fixture
async def worker(backend: JobBackend, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[WorkerParts]:
    """One that takes these jobs."""
    monkeypatch.setitem(KINDS, HEAVY.actor, HEAVY)
    async with Children(LIMITS, HEAVY.places or 1) as children:
        worker = WorkerParts(
            "one",
            claims=backend.claims,
            queue=backend.queue,
            events=backend.log,
            workers=backend.workers,
            actors={HEAVY.actor: HeavyWork(children, Results(backend.scripts))},
        )
        await worker.start()
        yield worker
        await worker.leases.drain(1)
        await worker.die()


async def submit(backend: JobBackend, function: str, asked: bytes) -> str:
    """A job's id."""
    payload = msgspec.Raw(msgspec.json.encode(f"tests.workers.heavy:{function}"))
    spec = JobSpec(id=uuid.uuid4().hex, kind=HEAVY.actor, queue=queue_of(HEAVY.actor), owner="u", created_at=1, payload=payload)
    await backend.queue.submit(spec, asked)
    return spec.id


async def end_of(backend: JobBackend, job_id: str) -> Event:
    """The last entry of its log."""

    async def last() -> Event | None:
        return next((event for _, event in await backend.log.read(job_id) if isinstance(event, ENDS)), None)

    return await until(last, "the job has ended")


async def test_a_job_is_done_by_a_child(backend: JobBackend, worker: WorkerParts) -> None:
    del worker
    job_id = await submit(backend, "reverse", b"abc")
    assert await end_of(backend, job_id) == Finished()
    assert await Results(backend.scripts).get(job_id) == b"cba"


async def test_a_crash_fails_its_job_with_words_and_the_next_job_is_done(backend: JobBackend, worker: WorkerParts) -> None:
    del worker
    crashing = await submit(backend, "read_nowhere", b"")
    failed = await end_of(backend, crashing)
    assert isinstance(failed, Failed)
    assert failed.code == "work_crashed"
    assert failed.detail == "Its process crashed (SIGSEGV). Nothing else was harmed; the same again will most likely crash again."
    assert failed.error().status == 422
    assert await end_of(backend, await submit(backend, "reverse", b"abc")) == Finished()
    assert [worker.id for worker in await backend.workers.list()] == ["one"], "no worker has died"


async def test_what_a_function_says_is_what_its_job_fails_with(backend: JobBackend, worker: WorkerParts) -> None:
    del worker
    failed = await end_of(backend, await submit(backend, "refuse", b"page 3 is upside down"))
    assert failed == Failed(code="work_raised", detail="ValueError: page 3 is upside down")


async def test_stopping_a_job_ends_its_child(backend: JobBackend, worker: WorkerParts, tmp_path: Path) -> None:
    del worker
    job_id = await submit(backend, "spin", str(tmp_path / "id").encode())
    pid = await until(lambda: told(tmp_path / "id"), "its child is busy")
    await backend.claims.cancel(job_id)
    assert await end_of(backend, job_id) == Cancelled()
    await until(lambda: gone(pid), "its child has ended")


async def test_a_worker_that_leaves_ends_its_children_and_hands_their_jobs_back(
    backend: JobBackend, worker: WorkerParts, tmp_path: Path
) -> None:
    job_id = await submit(backend, "spin", str(tmp_path / "id").encode())
    pid = await until(lambda: told(tmp_path / "id"), "its child is busy")
    worker.fetching.draining = True
    await worker.leases.drain(1)
    await until(lambda: gone(pid), "its child has ended")
    assert await backend.claims.state(job_id) == "queued"
    assert await backend.queue.waiting(queue_of(HEAVY.actor), 2) == [job_id]


async def test_a_worker_shows_signs_of_life_while_its_children_compute(backend: JobBackend, worker: WorkerParts, tmp_path: Path) -> None:
    go = tmp_path / "go"
    jobs = [await submit(backend, "spin_until_told", str(go).encode()) for _ in range(HEAVY.places or 1)]
    await until(lambda: len(worker.leases) == HEAVY.places, "all of them run")
    began = await alive_until(backend)

    async def leases_have_passed() -> bool:
        assert await backend.workers.dead() == []
        assert await backend.reaper.reap() == []
        return await alive_until(backend) > began + LEASES * LEASE_MS

    await until(leases_have_passed, "it has lived through several leases")
    go.touch()
    assert await asyncio.gather(*(end_of(backend, job_id) for job_id in jobs)) == [Finished()] * len(jobs)
    spun = [await Results(backend.scripts).get(job_id) for job_id in jobs]
    assert all(int(times or 0) > 1000 for times in spun), "they have computed all the time"


async def alive_until(backend: JobBackend) -> float:
    """Until when the worker has said that it lives, in milliseconds of Redis' clock."""
    return float(await backend.redis.zscore("{workers}:alive", "one") or 0)
