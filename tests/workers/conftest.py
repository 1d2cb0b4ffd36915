"""A worker's parts over a real Redis."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Any, cast

import msgspec
import pytest
import uvloop

from core.models.chats import ChatDetail
from core.models.completions import Usage
from core.models.events import ChoiceFinished, Delta, Event, Started
from core.models.generations import JobSpec, JobStatus
from core.models.numerics import Continued, Numerics
from core.models.pools import Pool, Worker
from core.redis.client import Scripts
from core.redis.workers import WorkerRegistry
from pipelines.chat import Prompt
from tests.job_backend import LEASE_MS, JobBackend, backend, new_spec
from workers.actors.replies import Replies
from workers.leases import Leases
from workers.offers import Offers, Taker

__all__ = ["backend", "new_spec"]

PLACES = 2
WORDS = [f"{number} " for number in range(20)]


class Counting:
    """A generator that counts up and can continue; it waits for ``go`` before each word when it is given."""

    def __init__(self, continued: Continued | None = "exact", fingerprint: str = "f1") -> None:
        self.numerics = Numerics(continued=continued, fingerprint=fingerprint) if continued else None
        self.go: asyncio.Semaphore | None = None
        self.closed = 0
        self.error: Exception | None = None

    async def prepare(self, model_id: str) -> Numerics | None:
        del model_id
        return self.numerics

    async def generate(self, prompt: Prompt) -> AsyncGenerator[Delta | ChoiceFinished | Usage, None]:
        begin = len(prompt.emitted[0].tokens) if 0 in prompt.emitted else 0
        try:
            for number in range(begin, len(WORDS)):
                if self.go:
                    await self.go.acquire()
                if self.error:
                    raise self.error
                yield Delta(text=WORDS[number], tokens=(number,))
            yield ChoiceFinished(finish_reason="stop")
            yield Usage(prompt_tokens=1, completion_tokens=len(WORDS), total_tokens=1 + len(WORDS))
        finally:
            self.closed += 1


class Kept:
    """Where answers are saved: in memory, with the interface of core.services.answers."""

    def __init__(self) -> None:
        self.saved: list[tuple[str, str, JobStatus]] = []

    async def chat(self, spec: JobSpec) -> ChatDetail | None:
        del spec
        return None

    async def save(self, spec: JobSpec, text: str, status: JobStatus, last: Event) -> None:
        del last
        self.saved.append((spec.id, text, status))


class Bench:
    """One worker's parts, without its process: what it takes are offers, and what a test gives it."""

    def __init__(self, backend: JobBackend, generator: Counting, name: str) -> None:
        self.backend = backend
        self.name = name
        self.pools = WorkerRegistry(Scripts(backend.redis))
        self.offers = Offers(claims=backend.claims, queue=backend.queue, events=backend.log, pools=self.pools)
        self.generator = generator
        self.kept = Kept()
        self.leases = Leases(backend.claims, backend.queue, backend.log, lease_ms=LEASE_MS, offer=self.offers.offer)
        self.replies = Replies(
            worker_id=name,
            claims=backend.claims,
            leases=self.leases,
            events=backend.log,
            answers=cast("Any", self.kept),
            generator=generator,
            flush_ms=5,
            timeout_s=3_600,
        )
        self.taker = Taker(backend.log, self.replies.make, places=PLACES)
        self.duties = [asyncio.create_task(duty()) for duty in (self.leases.renew, self.leases.hear_cancels)]

    async def report(self) -> None:
        """Stand in the registry, and hear of offers."""
        numerics = {"m": self.generator.numerics} if self.generator.numerics else {}
        self.taker.listen(numerics)
        worker = Worker(
            id=self.name,
            pool=Pool.GPU,
            host="h",
            pid=1,
            device="cpu",
            memory_bytes=1,
            models=("m",),
            running=len(self.leases),
            started_at=1,
            numerics=numerics,
        )
        await self.pools.report(worker)

    async def text(self, job_id: str) -> str:
        """What the log's readers have seen."""
        return "".join(event.text for _, event in await self.backend.log.read(job_id) if isinstance(event, Delta))

    async def last(self, job_id: str) -> Event:
        """The log's last entry."""
        return (await self.backend.log.read(job_id))[-1][1]

    async def starts(self, job_id: str) -> list[tuple[str, Continued | None]]:
        """Who has begun a job or gone on with it, and how well."""
        return [(event.worker, event.continued) for _, event in await self.backend.log.read(job_id) if isinstance(event, Started)]

    async def die(self) -> None:
        """As by kill -9, as far as Redis can see: nothing is renewed nor heard any more."""
        await self.taker.leave()
        for duty in self.duties:
            duty.cancel()


def stepwise(continued: Continued | None = "exact", fingerprint: str = "f1") -> Counting:
    """A generator that waits for ``release`` before each word."""
    generator = Counting(continued, fingerprint)
    generator.go = asyncio.Semaphore(0)
    return generator


def release(generator: Counting, words: int) -> None:
    assert generator.go
    for _ in range(words):
        generator.go.release()


async def submitted(backend: JobBackend, new_spec: Callable[[], JobSpec]) -> JobSpec:
    """A job of a chat's answer, that nobody has claimed."""
    spec = msgspec.structs.replace(new_spec(), chat_id="a chat", message_id="its answer")
    await backend.claims.submit(spec)
    return spec


async def longer(bench: Bench, job_id: str, words: int) -> bool:
    """Whether a log's readers have seen more than so many words."""
    return len((await bench.text(job_id)).split()) > words


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The worker process's own kind of loop."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture
async def new_bench(backend: JobBackend) -> AsyncIterator[Callable[..., Bench]]:
    benches: list[Bench] = []

    def make(generator: Counting | None = None, name: str = "one") -> Bench:
        benches.append(Bench(backend, generator or Counting(), name))
        return benches[-1]

    yield make
    for bench in benches:
        await bench.die()
        await asyncio.gather(*bench.duties, return_exceptions=True)
