"""A worker's parts over a real Redis."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Any, cast

import pytest
import uvloop

from core.models.chats import ChatDetail
from core.models.completions import Usage
from core.models.events import ChoiceFinished, Continued, Delta, Event
from core.models.generations import GenerationSpec, GenerationStatus
from pipelines.chat import Prompt
from tests.desk import Desk, desk, new_spec
from workers.leases import Leases
from workers.replies import Replies

__all__ = ["desk", "new_spec"]

WORDS = [f"{number} " for number in range(20)]


class Counting:
    """A generator that counts up and can continue; it waits for ``go`` before each word when it is given."""

    def __init__(self, continued: Continued | None = "exact") -> None:
        self._continued = continued
        self.go: asyncio.Semaphore | None = None
        self.closed = 0
        self.error: Exception | None = None

    def continued(self, model_id: str) -> Continued | None:
        del model_id
        return self._continued

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
        self.saved: list[tuple[str, str, GenerationStatus]] = []

    async def chat(self, spec: GenerationSpec) -> ChatDetail | None:
        del spec
        return None

    async def save(self, spec: GenerationSpec, text: str, status: GenerationStatus, last: Event) -> None:
        del last
        self.saved.append((spec.id, text, status))


class Bench:
    """One worker's parts, without its process."""

    def __init__(self, desk: Desk, generator: Counting, name: str) -> None:
        self.desk = desk
        self.generator = generator
        self.kept = Kept()
        self.leases = Leases(desk.claims, desk.queue, desk.log, lease_ms=500)
        self.replies = Replies(
            worker_id=name,
            claims=desk.claims,
            leases=self.leases,
            events=desk.log,
            answers=cast("Any", self.kept),
            generator=generator,
            flush_ms=5,
            timeout_s=3_600,
        )
        self.duties = [asyncio.create_task(duty()) for duty in (self.leases.renew, self.leases.hear_cancels)]

    async def text(self, job_id: str) -> str:
        """What the log's readers have seen."""
        return "".join(event.text for _, event in await self.desk.log.read(job_id) if isinstance(event, Delta))

    async def last(self, job_id: str) -> Event:
        """The log's last entry."""
        return (await self.desk.log.read(job_id))[-1][1]

    def die(self) -> None:
        """As by kill -9, as far as Redis can see: nothing is renewed any more."""
        for duty in self.duties:
            duty.cancel()


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The worker process's own kind of loop."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture
async def new_bench(desk: Desk) -> AsyncIterator[Callable[..., Bench]]:
    benches: list[Bench] = []

    def make(generator: Counting | None = None, name: str = "one") -> Bench:
        benches.append(Bench(desk, generator or Counting(), name))
        return benches[-1]

    yield make
    for bench in benches:
        bench.die()
        await asyncio.gather(*bench.duties, return_exceptions=True)
