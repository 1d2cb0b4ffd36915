"""A worker's loop that takes jobs, which are made when a test says so."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from dramatiq import Broker
from dramatiq.middleware import Middleware

from core.jobs.waiting import waiting_for
from core.models.jobs import JobSpec
from core.models.pools import Pool
from tests.job_backend import QUEUE, JobBackend
from tests.polling import until
from tests.worker_parts import stop
from workers import fetching
from workers.fetching import Fetching

PLACES = 2
OTHER = "gpu.embed.query.m"
BULK = "gpu.embed.bulk.m"


class Maker:
    """Notes the jobs it is given, and makes each for as long as it may not ``go``."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.ended: list[str] = []
        self.waits_for: dict[str, tuple[str, str]] = {}  # by job, another, and its kind
        self.running = 0
        self.most = 0
        self.go = asyncio.Semaphore(0)
        self.counts_no_more = True

    async def make(self, job_id: str, queue: str) -> bool:
        assert queue
        self.begun.append(job_id)
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            if job_id in self.waits_for:
                other, kind = self.waits_for[job_id]
                with waiting_for(kind):
                    await until(lambda: other in self.ended, f"{other} has ended")
            await self.go.acquire()
            self.ended.append(job_id)
        finally:
            self.running -= 1
        if job_id == "bug":
            raise RuntimeError(job_id)
        return self.counts_no_more


@pytest.fixture
def maker() -> Maker:
    return Maker()


@pytest.fixture
async def loop(backend: JobBackend, maker: Maker, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Callable[..., Awaitable[Fetching]]]:
    """A running loop that gives the maker PLACES jobs of each kind at a time."""
    monkeypatch.setattr(fetching, "COMPARE_S", 0.1)
    duties: list[asyncio.Task[None]] = []

    async def start(*middleware: Middleware, name: str = "one") -> Fetching:
        made = Fetching(
            worker_id=name,
            pool=Pool.GPU,
            queue=backend.queue,
            claims=backend.claims,
            events=backend.log,
            make=maker.make,
            places={"generate_reply": PLACES, "embed_texts": PLACES},
            broker=Broker(middleware=list(middleware)),
        )
        made.serve({QUEUE: "generate_reply", OTHER: "embed_texts", BULK: "embed_texts"})
        duties.extend(asyncio.create_task(duty()) for duty in (made.run, made.hear, made.compare))
        return made

    yield start
    await stop(duties)


def named(job_id: str, queue: str = QUEUE) -> JobSpec:
    kind = "generate_reply" if queue == QUEUE else "embed_texts"
    return JobSpec(id=job_id, kind=kind, queue=queue, owner="u", created_at=1)


async def enqueue(backend: JobBackend, *names: str, queue: str = QUEUE) -> None:
    for name in names:
        await backend.queue.submit(named(name, queue))
