"""A worker's parts over a real Redis."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from typing import Any, cast

import msgspec
import pytest
import uvloop

from core.models.chats import Chat, ChatDetail, Message
from core.models.completions import Usage
from core.models.events import ChoiceFinished, Delta, Event, Started
from core.models.generations import GenerationSpec
from core.models.jobs import JobSpec, JobStatus
from core.models.numerics import Continued, Numerics
from core.models.sources import Source
from pipelines.chat import Prompt, Window
from tests.called_functions import CalledFunctions
from tests.job_backend import BODY, JobBackend, backend, new_reply, new_spec
from tests.job_backend import any_jobs_url as jobs_url
from tests.worker_parts import WorkerParts
from tests.workers.taking import loop, maker
from workers.actors.replies import Replies

__all__ = ["backend", "jobs_url", "loop", "maker", "new_spec"]

PLACES = 2
ROUNDS = 3
WORDS = [f"{number} " for number in range(20)]


class Counting:
    """A generator that counts up and can continue; it waits for ``go`` before each word when it is given."""

    def __init__(self, continued: Continued | None = "exact", fingerprint: str = "f1") -> None:
        self.numerics = Numerics(continued=continued, fingerprint=fingerprint) if continued else None
        self.go: asyncio.Semaphore | None = None
        self.closed = 0
        self.error: Exception | None = None
        self.asked: list[Sequence[Mapping[str, Any]]] = []

    async def prepare(self, model_id: str) -> Numerics | None:
        del model_id
        return self.numerics

    async def window(self, model_id: str) -> Window:
        del model_id
        return Window(tokens=2048, count=len)

    async def generate(self, prompt: Prompt) -> AsyncGenerator[Delta | ChoiceFinished | Usage, None]:
        self.asked.append(prompt.messages)
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
    """Where answers are saved: in memory, with the interface of core.services.answers.

    ``error``: what saving raises, for as long as it is set. ``question``: what stands in the chat; its user may edit it.

    """

    def __init__(self) -> None:
        self.saved: list[tuple[str, str, JobStatus]] = []
        self.error: Exception | None = None
        self.tried = 0
        self.sources: list[tuple[str, int]] = []
        self.calls: list[Mapping[str, Any]] = []
        self.question = "the question"

    async def chat(self, spec: GenerationSpec) -> ChatDetail | None:
        if not spec.chat_id:
            return None
        chat = Chat(id="a chat", user_id=spec.user_id, title="t", document={}, created_at=1, updated_at=1)
        asked = Message(id="asked", chat_id=chat.id, position=0, role="user", content=self.question, timestamp=1, extra={})
        answer = msgspec.structs.replace(asked, id=spec.message_id or "", position=1, role="assistant", content="")
        return ChatDetail(chat=chat, messages=(asked, answer))

    async def save_sources(self, spec: GenerationSpec, sources: Sequence[Source]) -> None:
        self.sources.append((spec.id, len(sources)))

    async def save(self, spec: GenerationSpec, text: str, status: JobStatus, last: Event, calls: Sequence[Mapping[str, Any]] = ()) -> None:
        del last
        self.calls = list(calls)
        self.tried += 1
        if self.error:
            raise self.error
        self.saved.append((spec.id, text, status))


class Found:
    """What is found for answers: one passage more each time it is looked for."""

    def __init__(self) -> None:
        self.times = 0
        self.error: Exception | None = None

    async def find(self, _spec: GenerationSpec, _prompt: Prompt, _window: Window) -> tuple[Source, ...]:
        self.times += 1
        if self.error:
            raise self.error
        return tuple(
            Source(number=number, file_id="f", filename="mill.pdf", pages=(3,), passage=f"Passage {number}.", score=0.5)
            for number in range(1, self.times + 1)
        )


class Bench(WorkerParts):
    """One worker, whose model is a generator that counts. It takes nothing before ``start``."""

    def __init__(self, backend: JobBackend, generator: Counting, name: str, calls: CalledFunctions | None = None) -> None:
        self.backend = backend
        self.generator = generator
        self.kept = Kept()
        self.found = Found()
        kind = "generate_reply" if generator.numerics else "relay_reply"
        actor = Replies(
            claims=backend.claims,
            events=backend.log,
            answers=cast("Any", self.kept),
            generator=generator,
            passages=cast("Any", self.found),
            calls=cast("Any", calls or CalledFunctions()),
            rounds=ROUNDS,
        )
        super().__init__(
            name,
            claims=backend.claims,
            queue=backend.queue,
            events=backend.log,
            workers=backend.workers,
            actors={kind: actor},
            places=PLACES,
        )
        self.numerics = {"m": generator.numerics} if generator.numerics else {}

    async def text(self, job_id: str) -> str:
        """What the log's readers have seen."""
        return "".join(event.text for _, event in await self.backend.log.read(job_id) if isinstance(event, Delta))

    async def last(self, job_id: str) -> Event:
        """The log's last entry."""
        return (await self.backend.log.read(job_id))[-1][1]

    async def starts(self, job_id: str) -> list[tuple[str, Continued | None]]:
        """Who has begun a job or gone on with it, and how well."""
        return [(event.worker, event.continued) for _, event in await self.backend.log.read(job_id) if isinstance(event, Started)]

    def begin(self, spec: JobSpec) -> "asyncio.Task[bool]":
        """Take a job, which is first on its queue, without a loop that takes others."""
        return asyncio.create_task(self._begin(spec.queue))

    async def _begin(self, queue: str) -> bool:
        if not self.duties:
            await self.start(takes=False)
        return await self.make(queue)


def stepwise(continued: Continued | None = "exact", fingerprint: str = "f1") -> Counting:
    """A generator that waits for ``release`` before each word."""
    generator = Counting(continued, fingerprint)
    generator.go = asyncio.Semaphore(0)
    return generator


def release(generator: Counting, words: int) -> None:
    assert generator.go
    for _ in range(words):
        generator.go.release()


async def submitted(backend: JobBackend, kind: str = "generate_reply") -> JobSpec:
    """A job of a chat's answer, that nobody has claimed."""
    spec = new_reply(kind, chat_id="a chat", message_id="its answer")
    await backend.queue.submit(spec, BODY)
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

    def make(generator: Counting | None = None, name: str = "one", calls: CalledFunctions | None = None) -> Bench:
        benches.append(Bench(backend, generator or Counting(), name, calls))
        return benches[-1]

    yield make
    for bench in benches:
        await bench.die()
