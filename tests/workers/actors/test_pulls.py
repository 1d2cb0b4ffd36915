import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from core.errors import ModelNotFound
from core.jobs import PULL, queue_of
from core.models.events import Cancelled, Failed, Finished, Progress
from core.models.jobs import JobSpec, JobStatus
from core.models.pulls import MARKER, PullTask
from core.services.models.catalogue import LOOK_TOPIC
from core.settings import Settings
from pipelines.pulls import download
from pipelines.pulls.puller import Puller
from tests.hub import COMMIT, HubMirror
from tests.job_backend import JobBackend
from tests.pipelines.pulls.test_hub import FILES, LLAMA, WEIGHTS
from tests.polling import until
from tests.worker_parts import WorkerParts
from workers.actors.pulls import Pulls

QUEUE = queue_of(PULL)


class Noted:
    """Where pulls are noted: in memory, with the interface of core.services.pulls."""

    def __init__(self) -> None:
        self.ended: list[tuple[JobStatus, str | None]] = []
        self.progressed: list[tuple[str, int | None, int]] = []

    async def progress(self, pull_id: str, step: str, total: int | None, completed: int) -> None:
        assert pull_id
        self.progressed.append((step, total, completed))

    async def finish(self, pull_id: str, status: JobStatus, error: str | None = None) -> None:
        assert pull_id
        self.ended.append((status, error))


class Bench(WorkerParts):
    """One CPU worker."""

    def __init__(self, backend: JobBackend, settings: Settings, name: str) -> None:
        self.noted = Noted()
        self.puller = Puller(settings)
        super().__init__(
            name,
            claims=backend.claims,
            queue=backend.queue,
            events=backend.log,
            workers=backend.workers,
            actors={PULL: Pulls(events=backend.log, pulls=cast("Any", self.noted), puller=self.puller)},
        )

    async def pull(self) -> bool:
        """Take the pull that waits."""
        await self.start(takes=False)
        return await self.make(QUEUE)

    async def close(self) -> None:
        await self.die()
        await self.puller.close()


@pytest.fixture
async def mirror() -> AsyncIterator[HubMirror]:
    async with HubMirror({LLAMA: FILES}).serving() as serving:
        yield serving


@pytest.fixture
async def new_bench(backend: JobBackend, mirror: HubMirror, tmp_path: Path) -> AsyncGenerator[Callable[[], Bench], None]:
    benches: list[Bench] = []

    def make() -> Bench:
        benches.append(Bench(backend, Settings(data_dir=tmp_path, hf_endpoint=mirror.url), f"worker {len(benches)}"))
        return benches[-1]

    yield make
    for bench in benches:
        await bench.close()


async def submitted(backend: JobBackend, name: str = LLAMA) -> str:
    spec = JobSpec(id="pull-1", kind=PULL, queue=QUEUE, owner="u", created_at=1)
    await backend.queue.submit(spec, msgspec.json.encode(PullTask(name=name)))
    return spec.id


def there(tmp_path: Path) -> Path:
    return tmp_path / "models" / "tiny" / "llama" / COMMIT[:12]


async def last(backend: JobBackend, job_id: str) -> Any:
    return (await backend.log.read(job_id))[-1][1]


async def arriving(backend: JobBackend, job_id: str) -> bool:
    return any(isinstance(event, Progress) and event.completed for _, event in await backend.log.read(job_id))


async def partial(tmp_path: Path) -> bool:
    path = there(tmp_path) / f"model.safetensors{download.PARTIAL}"
    return path.exists() and path.stat().st_size > 0


async def test_a_pull_is_logged_noted_and_told_to_those_who_look(
    backend: JobBackend, new_bench: Callable[[], Bench], tmp_path: Path
) -> None:
    told = asyncio.Event()
    ready = asyncio.Event()

    async def hear() -> None:
        async for payload in backend.log.hear(LOOK_TOPIC):
            (ready if payload is None else told).set()

    hearing = asyncio.create_task(hear())
    await ready.wait()
    bench, job_id = new_bench(), await submitted(backend)
    await bench.pull()
    assert isinstance(await last(backend, job_id), Finished)
    assert bench.noted.ended == [(JobStatus.FINISHED, None)]
    whole = sum(len(FILES[name]) for name in ("config.json", "model.safetensors", "tokenizer.json"))
    assert bench.noted.progressed[-1] == ("success", whole, whole)
    assert (there(tmp_path) / MARKER).exists()
    await asyncio.wait_for(told.wait(), 5)
    hearing.cancel()
    await asyncio.gather(hearing, return_exceptions=True)


async def test_a_killed_workers_pull_goes_on_elsewhere_from_the_bytes_that_it_left(
    backend: JobBackend, mirror: HubMirror, new_bench: Callable[[], Bench], tmp_path: Path
) -> None:
    mirror.go = asyncio.Semaphore(20)
    dying, heir, job_id = new_bench(), new_bench(), await submitted(backend)
    task = asyncio.create_task(dying.pull())
    await until(lambda: partial(tmp_path), "some of the weights are there")
    await dying.die()
    task.cancel()  # as by kill -9, as far as files and Redis can see: nothing is handed back
    await asyncio.gather(task, return_exceptions=True)
    await backend.bury(dying.name, dying.fetching.queues)
    mirror.go = None
    await heir.pull()
    assert isinstance(await last(backend, job_id), Finished)
    assert (there(tmp_path) / "model.safetensors").read_bytes() == WEIGHTS
    assert [wanted for name, wanted in mirror.asked if name == "model.safetensors"][-1]
    assert dying.noted.ended == []


async def test_a_drained_workers_pull_is_handed_over(
    backend: JobBackend, mirror: HubMirror, new_bench: Callable[[], Bench], tmp_path: Path
) -> None:
    mirror.go = asyncio.Semaphore(20)
    leaving, heir = new_bench(), new_bench()
    await submitted(backend)
    task = asyncio.create_task(leaving.pull())
    await until(lambda: partial(tmp_path), "some of the weights are there")
    await leaving.leases.drain(1)
    await task
    assert await backend.queue.lengths([QUEUE]) == [1]
    mirror.go = None
    await heir.pull()
    assert (heir.noted.ended, leaving.noted.ended) == ([(JobStatus.FINISHED, None)], [])


async def test_a_stopped_pull_keeps_what_arrived(
    backend: JobBackend, mirror: HubMirror, new_bench: Callable[[], Bench], tmp_path: Path
) -> None:
    mirror.go = asyncio.Semaphore(20)
    bench, job_id = new_bench(), await submitted(backend)
    task = asyncio.create_task(bench.pull())
    await until(lambda: partial(tmp_path), "some of the weights are there")
    assert await backend.claims.cancel(job_id) == "running"
    await task
    assert await last(backend, job_id) == Cancelled()
    assert bench.noted.ended == [(JobStatus.CANCELLED, None)]
    assert await partial(tmp_path)


async def test_a_model_that_is_not_there_fails_with_its_code_before_any_progress(
    backend: JobBackend, new_bench: Callable[[], Bench]
) -> None:
    bench, job_id = new_bench(), await submitted(backend, "tiny/nothing")
    await bench.pull()
    ((_, event),) = await backend.log.read(job_id)
    assert isinstance(event, Failed)
    assert (event.code, "tiny/nothing" in event.detail) == (ModelNotFound.code, True)
    assert bench.noted.ended == [(JobStatus.FAILED, event.detail)]
