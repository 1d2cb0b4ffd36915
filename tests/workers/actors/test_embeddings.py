import asyncio
from collections.abc import AsyncIterator, Callable

import msgspec
import pytest

from core.errors import ContextTooLong
from core.jobs.results import Results
from core.models.completions import Usage
from core.models.embeddings import Vectors
from core.models.events import Cancelled, Event, Failed, Finished
from core.models.generations import JobSpec
from core.redis.client import Scripts
from pipelines.embedding import EmbeddingTask
from tests.job_backend import JobBackend
from tests.polling import until
from workers.actors.embeddings import Embeddings
from workers.leases import Leases

USAGE = Usage(prompt_tokens=2, completion_tokens=0, total_tokens=2)
MADE = b"\x00\x00\x80\x3f" * 2


class Waiting:
    """An embedder that waits for ``go``."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.error: Exception | None = None
        self.begun = 0
        self.ended = 0

    async def embed(self, task: EmbeddingTask) -> Vectors:
        self.begun += 1
        try:
            await self.go.wait()
        finally:
            self.ended += 1
        if self.error:
            raise self.error
        return Vectors(data=MADE, count=len(task.request.inputs), usage=USAGE)


class Bench:
    """One worker's parts, without its process."""

    def __init__(self, backend: JobBackend, name: str) -> None:
        self.backend = backend
        self.embedder = Waiting()
        self.leases = Leases(backend.claims, backend.queue, backend.log, lease_ms=500)
        self.results = Results(Scripts(backend.redis))
        self.actor = Embeddings(worker_id=name, claims=backend.claims, leases=self.leases, results=self.results, embedder=self.embedder)
        self.duties = [asyncio.create_task(duty()) for duty in (self.leases.renew, self.leases.hear_cancels)]

    def begin(self, job_id: str) -> "asyncio.Task[None]":
        return asyncio.create_task(self.actor.make(job_id))

    async def log(self, job_id: str) -> list[Event]:
        return [event for _, event in await self.backend.log.read(job_id)]

    def die(self) -> None:
        for duty in self.duties:
            duty.cancel()


@pytest.fixture
async def benches(backend: JobBackend) -> AsyncIterator[Callable[[str], Bench]]:
    made: list[Bench] = []

    def make(name: str) -> Bench:
        made.append(Bench(backend, name))
        return made[-1]

    yield make
    for bench in made:
        bench.die()
        await asyncio.gather(*bench.duties, return_exceptions=True)


@pytest.fixture
async def job(backend: JobBackend, new_spec: Callable[[], JobSpec]) -> str:
    spec = msgspec.structs.replace(new_spec(), queue="gpu.embed", body=msgspec.Raw(b'{"model":"m","input":["a","b"]}'))
    await backend.claims.submit(spec)
    return spec.id


async def test_vectors_are_kept_before_their_log_says_so(benches: Callable[[str], Bench], job: str) -> None:
    bench = benches("one")
    bench.embedder.go.set()
    await bench.begin(job)
    assert await bench.log(job) == [Finished(usage=USAGE)]
    assert await bench.results.get(job) == MADE
    await bench.begin(job)
    assert bench.embedder.begun == 1, "a second delivery does nothing"
    await bench.results.forget(job)
    assert await bench.backend.redis.keys("job:*") == []


async def test_a_dead_workers_job_is_done_again_and_what_the_dead_one_says_later_is_not_heard(
    benches: Callable[[str], Bench], job: str
) -> None:
    dying, heir = benches("one"), benches("two")
    task = dying.begin(job)
    await until(lambda: dying.embedder.begun, "it is begun")
    dying.die()
    await until(dying.backend.queue.reap, "the lease runs out")
    heir.embedder.go.set()
    await heir.begin(job)
    dying.embedder.go.set()
    await task
    assert await heir.log(job) == [Finished(usage=USAGE)]


async def test_a_drained_workers_job_is_handed_over_at_once(benches: Callable[[str], Bench], job: str) -> None:
    leaving = benches("one")
    task = leaving.begin(job)
    await until(lambda: leaving.embedder.begun, "it is begun")
    await leaving.leases.drain()
    await task
    assert leaving.embedder.ended == 1
    assert await leaving.backend.queue.length("gpu.embed") == 1


async def test_a_stopped_job_ends_at_once(benches: Callable[[str], Bench], job: str) -> None:
    bench = benches("one")
    task = bench.begin(job)
    await until(lambda: bench.embedder.begun, "it is begun")
    assert await bench.backend.claims.cancel(job) == "running"
    await task
    assert await bench.log(job) == [Cancelled()]
    assert await bench.results.get(job) is None


async def test_a_failure_is_told_with_its_field(benches: Callable[[str], Bench], job: str) -> None:
    bench = benches("one")
    bench.embedder.error = ContextTooLong("Too long.", param="input")
    bench.embedder.go.set()
    await bench.begin(job)
    assert await bench.log(job) == [Failed(code="context_length_exceeded", detail="Too long.", param="input")]


async def test_a_job_that_kills_its_workers_is_given_up(benches: Callable[[str], Bench], job: str) -> None:
    bench = benches("last")
    for number in range(3):
        assert await bench.backend.claims.claim(job, f"dying {number}")
        await until(bench.backend.queue.reap, "the lease runs out")
    await bench.begin(job)
    (failed,) = await bench.log(job)
    assert isinstance(failed, Failed)
    assert "given up" in failed.detail
    assert bench.embedder.begun == 0
