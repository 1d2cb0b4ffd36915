import asyncio
from collections.abc import AsyncIterator, Callable

import msgspec
import pytest

from core.errors import ContextTooLong
from core.jobs import MAX_DEATHS, SUSPECT_DEATHS, queue_of
from core.jobs.results import Results
from core.models.completions import Usage
from core.models.embeddings import EmbeddingSpec, Vectors
from core.models.events import Cancelled, Event, Failed, Finished
from core.models.jobs import JobSpec
from core.redis.keys import SUSPECTS
from pipelines.embedding import EmbeddingTask
from tests.job_backend import JobBackend
from tests.polling import until
from tests.worker_parts import WorkerParts
from workers.actors.embeddings import Embeddings

QUEUE = queue_of("embed_texts", "m")
USAGE = Usage(prompt_tokens=2, completion_tokens=0, total_tokens=2)
MADE = b"\x00\x00\x80\x3f" * 2


class Waiting:
    """An embedder that waits for ``go``."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.error: Exception | None = None
        self.bulk: list[bool] = []
        self.begun = 0
        self.ended = 0

    async def embed(self, task: EmbeddingTask) -> Vectors:
        self.begun += 1
        self.bulk.append(task.is_bulk)
        try:
            await self.go.wait()
        finally:
            self.ended += 1
        if self.error:
            raise self.error
        return Vectors(data=MADE, count=len(task.request.inputs), usage=USAGE)


class Bench(WorkerParts):
    """One worker."""

    def __init__(self, backend: JobBackend, name: str) -> None:
        self.backend = backend
        self.embedder = Waiting()
        self.results = Results(backend.scripts)
        super().__init__(
            name,
            claims=backend.claims,
            queue=backend.queue,
            events=backend.log,
            workers=backend.workers,
            actors={"embed_texts": Embeddings(results=self.results, embedder=self.embedder)},
        )

    def begin(self) -> "asyncio.Task[bool]":
        return asyncio.create_task(self._begin())

    async def _begin(self) -> bool:
        await self.start(takes=False)
        return await self.make(QUEUE)

    async def log(self, job_id: str) -> list[Event]:
        return [event for _, event in await self.backend.log.read(job_id)]


@pytest.fixture
async def benches(backend: JobBackend) -> AsyncIterator[Callable[[str], Bench]]:
    made: list[Bench] = []

    def make(name: str) -> Bench:
        made.append(Bench(backend, name))
        return made[-1]

    yield make
    for bench in made:
        await bench.die()


@pytest.fixture
async def job(backend: JobBackend) -> str:
    payload = msgspec.Raw(msgspec.json.encode(EmbeddingSpec(served="m")))
    spec = JobSpec(id="1", kind="embed_texts", queue=QUEUE, owner="u", created_at=1, payload=payload)
    await backend.queue.submit(spec, b'{"model":"m","input":["a","b"]}')
    return spec.id


async def test_vectors_are_kept_before_their_log_says_so(benches: Callable[[str], Bench], job: str) -> None:
    bench = benches("one")
    bench.embedder.go.set()
    await bench.begin()
    assert await bench.log(job) == [Finished(usage=USAGE)]
    assert await bench.results.get(job) == MADE
    assert await bench.make(QUEUE, job)
    assert bench.embedder.begun == 1, "a second delivery does nothing"
    await bench.results.forget(job)
    assert await bench.backend.redis.keys("job:*") == []


@pytest.mark.usefixtures("job")
async def test_what_came_as_bulk_is_embedded_as_bulk(benches: Callable[[str], Bench], backend: JobBackend) -> None:
    bench, payload = benches("one"), msgspec.Raw(msgspec.json.encode(EmbeddingSpec(served="m")))
    queue = queue_of("embed_texts", "m", "embed.bulk")
    spec = JobSpec(id="2", kind="embed_texts", queue=queue, owner="u", created_at=1, payload=payload)
    await backend.queue.submit(spec, b'{"model":"m","input":["a"]}')
    bench.embedder.go.set()
    await bench.begin()
    await bench.make(queue, "2")
    assert bench.embedder.bulk == [False, True]


async def test_a_dead_workers_job_is_done_again_and_what_the_dead_one_says_later_is_not_heard(
    benches: Callable[[str], Bench], job: str
) -> None:
    dying, heir = benches("one"), benches("two")
    task = dying.begin()
    await until(lambda: dying.embedder.begun, "it is begun")
    await dying.die()
    await dying.backend.bury("one", dying.fetching.queues)
    heir.embedder.go.set()
    await heir.begin()
    dying.embedder.go.set()
    await task
    assert await heir.log(job) == [Finished(usage=USAGE)]


@pytest.mark.usefixtures("job")
async def test_a_drained_workers_job_is_handed_over_at_once(benches: Callable[[str], Bench]) -> None:
    leaving = benches("one")
    task = leaving.begin()
    await until(lambda: leaving.embedder.begun, "it is begun")
    await leaving.leases.drain(1)
    await task
    assert leaving.embedder.ended == 1
    assert await leaving.backend.queue.lengths([QUEUE]) == [1]


async def test_a_stopped_job_ends_at_once(benches: Callable[[str], Bench], job: str) -> None:
    bench = benches("one")
    task = bench.begin()
    await until(lambda: bench.embedder.begun, "it is begun")
    assert await bench.backend.claims.cancel(job) == "running"
    await task
    assert await bench.log(job) == [Cancelled()]
    assert await bench.results.get(job) is None


async def test_a_failure_is_told_with_its_field(benches: Callable[[str], Bench], job: str) -> None:
    bench = benches("one")
    bench.embedder.error = ContextTooLong("Too long.", param="input")
    bench.embedder.go.set()
    await bench.begin()
    assert await bench.log(job) == [Failed(code="context_length_exceeded", detail="Too long.", param="input")]


async def test_a_job_that_kills_its_workers_is_given_up(benches: Callable[[str], Bench], job: str) -> None:
    bench = benches("last")
    for number in range(MAX_DEATHS):
        queue = QUEUE if number < SUSPECT_DEATHS else QUEUE + SUSPECTS
        await bench.backend.queue.fetch(queue, f"dying {number}", 1)
        assert await bench.backend.claims.claim(job, f"dying {number}")
        await bench.backend.bury(f"dying {number}", (queue,))
    await bench.make(QUEUE + SUSPECTS)
    (failed,) = await bench.log(job)
    assert isinstance(failed, Failed)
    assert "given up" in failed.detail
    assert bench.embedder.begun == 0
