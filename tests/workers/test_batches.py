"""A batch whose workers die at any moment."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from functools import partial

import pytest

from core.errors import BadRequest, Unavailable
from core.jobs import ENDED_S, KINDS, Kind, Repeat, claims
from core.jobs.batches import Batches
from core.models.batches import BatchJob, BatchStatus, BatchStep
from core.models.events import ENDS, Event, Failed, Finished, Progress
from core.models.jobs import JobSpec, JobStatus
from core.models.pools import Pool
from core.redis.keys import batch_keys, job_key
from tests.job_backend import JobBackend
from tests.polling import until
from tests.worker_parts import LEASE_MS, WorkerParts, stop
from workers import leases
from workers.attempt import Attempt

ITEMS, IN_FLIGHT, WORKERS, PLACES, KILLS = 200, 16, 4, 6, 12
KINDS_OF_STEPS = ("parse", "embed", "index")
STEPS = tuple(BatchStep(kind=kind, queue=f"cpu.{kind}", attempts=2) for kind in KINDS_OF_STEPS)


def fails(job: BatchJob) -> Exception | None:
    """Every seventh item's second step fails once, every tenth's always, and every eleventh's third for a reason that will not pass."""
    if job.step == 2 and (job.number % 10 == 0 or (job.number % 7 == 0 and job.attempt == 1)):
        return Unavailable("away")
    return BadRequest("not a document") if job.step == 3 and job.number % 11 == 0 else None


def jobs_of(number: int) -> list[BatchJob]:
    """All jobs that an item's way through the steps takes."""
    way = [BatchJob(batch="b", number=number, step=1, attempt=1)]
    while True:
        job, error = way[-1], fails(way[-1])
        if error is None and job.step < len(STEPS):
            way.append(BatchJob(batch="b", number=number, step=job.step + 1, attempt=1))
        elif isinstance(error, Unavailable) and job.attempt < STEPS[0].attempts:
            way.append(BatchJob(batch="b", number=number, step=job.step, attempt=job.attempt + 1))
        else:
            return way


class Doing:
    """The actor of all steps. ``at_work``: jobs that a worker which lives is doing. They wait once so many steps as ``limit`` are done."""

    def __init__(self) -> None:
        self.at_work: Counter[str] = Counter()
        self.most = 0
        self.done: set[str] = set()
        self.limit = len(STEPS) * ITEMS * 2
        self.go = asyncio.Event()
        self.go.set()

    def allow(self, limit: int) -> None:
        self.limit = limit
        self.go.set()

    def note(self, job_id: str) -> None:
        self.done.add(job_id)
        if len(self.done) >= self.limit:
            self.go.clear()

    def __call__(self, attempt: Attempt) -> "StepOfItem":
        return StepOfItem(self, attempt)


class StepOfItem:
    """One attempt at one step of an item. It is noted before anybody is told of its end."""

    keeps = True

    def __init__(self, by: Doing, attempt: Attempt) -> None:
        self._by = by
        self._id = attempt.claim.spec.id

    async def do(self) -> Finished:
        self._by.at_work[self._id] += 1
        try:
            self._by.most = max(self._by.most, len(+self._by.at_work))
            for _ in range(random.Random(self._id).randrange(100)):
                await asyncio.sleep(0)
            await self._by.go.wait()
        finally:
            self._by.at_work[self._id] -= 1
        if error := fails(BatchJob.of(self._id)):
            raise error
        return Finished()

    async def keep(self, status: JobStatus, last: Event) -> None:
        del last
        if status is not JobStatus.CANCELLED:
            self._by.note(self._id)


class Fleet:
    """Workers, as many as are wanted."""

    def __init__(self, backend: JobBackend, doing: Doing) -> None:
        self._backend = backend
        self._doing = doing
        self._started = 0
        self.workers: list[WorkerParts] = []

    async def add(self) -> None:
        self._started += 1
        worker = WorkerParts(
            f"worker-{self._started}",
            claims=self._backend.claims,
            queue=self._backend.queue,
            events=self._backend.log,
            workers=self._backend.workers,
            actors=dict.fromkeys(KINDS_OF_STEPS, self._doing),
            places=PLACES,
        )
        self.workers.append(worker)
        await worker.start()

    def busy(self, due: int) -> list[WorkerParts]:
        """Those at work, once so many steps are done."""
        return [worker for worker in self.workers if worker.fetching._tasks] if len(self._doing.done) >= due else []

    async def kill(self, worker: WorkerParts) -> None:
        """With all that it is doing, wherever that is."""
        self.workers.remove(worker)
        await stop(worker.fetching._tasks)
        await worker.die()


@pytest.fixture(autouse=True)
def kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    """None is given up because of its workers' deaths, whose idle ones' are seen as soon as the others'; and all that ended is kept."""
    monkeypatch.setattr(claims, "ENDED_STEP_S", ENDED_S)
    monkeypatch.setattr(leases, "IDLE_MS", LEASE_MS)
    monkeypatch.setattr(leases, "IDLE_BEAT_S", LEASE_MS / 5000)
    for name in ("ingest", *KINDS_OF_STEPS):
        row = Kind(actor=name, pool=Pool.CPU, classes=(name,), by_model=False, repeat=Repeat.RESTART, places=PLACES, max_deaths=1_000)
        monkeypatch.setitem(KINDS, name, row)


@pytest.fixture
def made(backend: JobBackend) -> Batches:
    return Batches(backend.scripts, backend.claims, backend.queue)


@pytest.fixture
async def fleet(backend: JobBackend) -> AsyncIterator[Fleet]:
    fleet = Fleet(backend, Doing())
    yield fleet
    for worker in list(fleet.workers):
        await fleet.kill(worker)


async def keep_up(backend: JobBackend, made: Batches) -> None:
    """What the processes that live do beside."""
    while True:
        await backend.reaper.reap()
        await made.mend()
        await asyncio.sleep(0.05)


async def watch(backend: JobBackend, most: list[int]) -> None:
    """How many items are at work, again and again."""
    while True:
        most.append(await backend.redis.hlen(batch_keys("b")[4]))
        await asyncio.sleep(0)


async def test_every_item_ends_once_whoever_dies_and_no_more_than_allowed_are_at_work(
    backend: JobBackend, made: Batches, fleet: Fleet
) -> None:
    doing, chance, seen = fleet._doing, random.Random(7), list[int]()
    expected = [job for number in range(1, ITEMS + 1) for job in jobs_of(number)]
    given_up = sum(fails(jobs_of(number)[-1]) is not None for number in range(1, ITEMS + 1))
    for _ in range(WORKERS):
        await fleet.add()
    beside = [asyncio.create_task(duty) for duty in (keep_up(backend, made), watch(backend, seen))]
    parent = JobSpec(id="b", kind="ingest", queue="cpu.ingest", owner="u", created_at=1)
    await made.start(parent, STEPS, range(ITEMS), in_flight=IN_FLIGHT)
    for kill in range(1, KILLS + 1):
        due = kill * len(expected) // (KILLS + 1)
        doing.allow(due)
        busy = await until(partial(fleet.busy, due), f"some work when {due} steps are done", timeout_s=60)
        await fleet.kill(chance.choice(busy))
        await fleet.add()

    doing.allow(len(expected) + 1)

    async def ended() -> bool:
        return await backend.claims.state("b") == JobStatus.FINISHED

    await until(ended, "the batch has ended", timeout_s=60)
    await stop(beside)

    assert await made.status("b") == BatchStatus(total=ITEMS, begun=ITEMS, completed=ITEMS - given_up, failed=given_up, in_flight={})
    assert set(await backend.redis.keys("job:{b}.*")) == {job_key(job.id).encode() for job in expected}
    for job in expected:
        entries = [event for _, event in await backend.log.read(job.id)]
        assert [type(event) for event in entries if isinstance(event, ENDS)] == [Failed if fails(job) else Finished], job.id
    told = [event for _, event in await backend.log.read("b")]
    counts = [(event.completed or 0, event.failed or 0) for event in told if isinstance(event, Progress)]
    assert counts == sorted(counts)
    assert counts[-1] == (ITEMS - given_up, given_up)
    assert [event for event in told if isinstance(event, ENDS)] == [Finished()] == told[-1:]
    assert 1 < doing.most <= IN_FLIGHT
    assert 1 < max(seen) <= IN_FLIGHT


async def test_stopping_a_batch_ends_what_runs_and_nothing_more_begins(backend: JobBackend, made: Batches, fleet: Fleet) -> None:
    await fleet.add()
    parent = JobSpec(id="b", kind="ingest", queue="cpu.ingest", owner="u", created_at=1)
    await made.start(parent, STEPS, range(10_000), in_flight=IN_FLIGHT)
    await until(lambda: len(fleet._doing.done) > IN_FLIGHT, "it is under way")
    assert await backend.claims.cancel("b") == "queued"

    async def idle() -> bool:
        status = await made.status("b")
        return status is not None and not status.in_flight and not +fleet._doing.at_work

    await until(idle, "nothing is at work any more")
    begun = len(fleet._doing.done)
    await backend.claims.cancel("b")
    assert len(fleet._doing.done) == begun
    assert not await backend.redis.exists(*batch_keys("b")[3:5])
