"""What answers in rounds are tested with: models that call tools, by an upstream and by a script. Fixtures for whoever imports them."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Any

import msgspec
import pytest

from core.models.completions import Usage
from core.models.events import ChoiceFinished, Delta, Event
from core.models.jobs import JobSpec
from core.models.tools import Tool
from core.settings import Settings
from pipelines.chat import Prompt
from pipelines.upstreams.upstreams import Upstreams
from tests.called_functions import CalledFunctions
from tests.job_backend import JobBackend, new_reply
from tests.tool_models import FOUND, LOOKING
from tests.upstream import Upstream
from tests.workers.conftest import Bench, Counting

Benches = Callable[..., Bench]
CHAT = {"chat_id": "a chat", "message_id": "its answer"}
TOOLS = tuple(
    Tool(
        name=name,
        function_id="f",
        version_id="v",
        entry=name,
        description=f"Tells the {name}.",
        parameters={"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    )
    for name in ("weather", "news")
)
BOTH = [{"name": "weather", "arguments": {"city": "Ulm"}}, {"name": "news", "arguments": {"city": "Rom"}}]
ANSWER = f"{LOOKING}\n\n{FOUND}sun in Ulm|" + '{"of":"Rom"}'
CALL = json.dumps({"tool_calls": BOTH[:1]})
LOCAL: dict[str, Any] = {"kind": "generate_reply", "model": "m", "prompted": True}


class Relaying(Counting):
    """A real upstream as the generator of a bench."""

    def __init__(self, upstreams: Upstreams) -> None:
        super().__init__(None)
        self.upstreams = upstreams
        self.hold: asyncio.Event | None = None

    async def generate(self, prompt: Prompt) -> AsyncGenerator[Delta | ChoiceFinished | Usage, None]:
        self.asked.append(prompt.messages)
        if self.hold and prompt.later:
            await self.hold.wait()
        async for part in self.upstreams.generate(prompt):
            yield part


class Scripted(Counting):
    """A local model that says one text after the other, a character a token."""

    def __init__(self, *texts: str) -> None:
        super().__init__()
        self.texts = list(texts)

    async def generate(self, prompt: Prompt) -> AsyncGenerator[Delta | ChoiceFinished | Usage, None]:
        self.asked.append(prompt.messages)
        text = self.texts[len(self.asked) - 1]
        begin = len(prompt.emitted[0].tokens) if 0 in prompt.emitted else 0
        for letter in text[begin:]:
            if self.go:
                await self.go.acquire()
            yield Delta(text=letter, tokens=(ord(letter),))
        yield ChoiceFinished(finish_reason="stop")
        yield Usage(prompt_tokens=1, completion_tokens=len(text), total_tokens=1 + len(text))


@pytest.fixture
def jobs_url(redis_url: str) -> str:
    return redis_url


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with Upstream(models=("calling", "worded", "insisting")).serving() as serving:
        yield serving


@pytest.fixture
async def relaying(upstream: Upstream) -> AsyncIterator[Relaying]:
    found = Upstreams(Settings(openai_base_urls=(upstream.url,)))
    await found.open()
    await found.refresh()
    yield Relaying(found)
    await found.close()


@pytest.fixture
def functions() -> CalledFunctions:
    return CalledFunctions(weather=lambda city: f"sun in {city}", news=lambda city: {"of": city})


@pytest.fixture
def relay(new_bench: Benches, relaying: Relaying, functions: CalledFunctions) -> Callable[..., Bench]:
    """Workers that relay, by their names; in the chat stands what is to be called."""

    def make(name: str = "one", calls: Any = BOTH) -> Bench:
        bench = new_bench(relaying, name=name, calls=functions)
        bench.kept.question = json.dumps(calls)
        return bench

    return make


def asking(calls: Any, model: str, **more: Any) -> bytes:
    content = calls if isinstance(calls, str) else json.dumps(calls)
    return msgspec.json.encode({"model": model, "messages": [{"role": "user", "content": content}], **more})


async def submitted(backend: JobBackend, body: bytes, model: str = "calling", kind: str = "relay_reply", **more: Any) -> JobSpec:
    spec = new_reply(kind, base_model=model, tools=TOOLS, **more)
    await backend.queue.submit(spec, body)
    return spec


async def events(backend: JobBackend, spec: JobSpec) -> list[Event]:
    return [event for _, event in await backend.log.read(spec.id)]


def of(log: list[Event], kind: type[Event]) -> list[Any]:
    return [event for event in log if isinstance(event, kind)]


async def killed(backend: JobBackend, bench: Bench, task: "asyncio.Task[bool]", spec: JobSpec) -> None:
    """As by kill -9: nothing of it is heard any more."""
    await bench.die()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await backend.bury(bench.name, (spec.queue,))
