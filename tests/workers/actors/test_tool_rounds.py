"""Answers in rounds: tools are called once, whoever dies."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Any

import msgspec
import pytest

from core.models.completions import Usage
from core.models.events import Cancelled, ChoiceFinished, Delta, Event, Failed, Finished, Step, ToolCall, ToolResult
from core.models.jobs import JobSpec
from core.models.tools import Tool
from core.settings import Settings
from pipelines.chat import Prompt
from pipelines.upstreams.upstreams import Upstreams
from tests.called_functions import CalledFunctions
from tests.job_backend import JobBackend, new_reply
from tests.polling import until
from tests.tool_models import FOUND, LOOKING
from tests.upstream import Upstream
from tests.workers.conftest import ROUNDS, Bench, Counting

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


@pytest.mark.parametrize("stream", [False, True])
async def test_calls_are_made_at_once_and_what_they_gave_is_told_and_answered(
    backend: JobBackend, relay: Callable[..., Bench], functions: CalledFunctions, *, stream: bool
) -> None:
    bench = relay()
    functions.go.clear()
    spec = await submitted(backend, asking(BOTH, "calling", stream=stream), **CHAT)
    task = bench.begin(spec)
    await until(lambda: functions.running == 2, "both calls run")
    functions.go.set()
    await task
    log = await events(backend, spec)
    assert await bench.text(spec.id) == ANSWER
    assert [(call.key, call.name) for call in of(log, ToolCall)] == [("1.0", "weather"), ("1.1", "news")]
    assert {result.key: msgspec.json.decode(result.result) for result in of(log, ToolResult)} == {
        "1.0": {"result": "sun in Ulm"},
        "1.1": {"result": {"of": "Rom"}},
    }
    assert [step.key for step in of(log, Step)] == ["round-1"]
    assert not any((delta.extra or {}).get("tool_calls") for delta in of(log, Delta)), "clients would run them"
    assert of(log, ChoiceFinished) == [ChoiceFinished(finish_reason="stop")]
    assert log[-1] == Finished(usage=Usage(prompt_tokens=20, completion_tokens=10, total_tokens=30))
    assert bench.kept.saved[0][1] == ANSWER
    assert bench.kept.calls == [
        {"key": "1.0", "name": "weather", "arguments": {"city": "Ulm"}, "result": "sun in Ulm"},
        {"key": "1.1", "name": "news", "arguments": {"city": "Rom"}, "result": {"of": "Rom"}},
    ]
    assert [(call.user_id, call.version_id, call.entry) for call in functions.made] == [("u", "v", "weather"), ("u", "v", "news")]


async def test_what_is_wrong_with_a_call_is_told_to_the_model(
    backend: JobBackend, relay: Callable[..., Bench], functions: CalledFunctions
) -> None:
    wrong = [
        {"name": "weather", "arguments": "{not json"},
        {"name": "wether", "arguments": {}},
        {"name": "weather", "arguments": {"city": 1}},
        {"name": "news", "arguments": {"city": "Rom"}},
    ]
    functions.functions["news"] = lambda city: 1 / 0 if city else None
    spec = await submitted(backend, asking(wrong, "calling"), **CHAT)
    await relay(calls=wrong).make(spec.queue)
    told = [
        msgspec.json.decode(result.result)["error"]
        for result in sorted(of(await events(backend, spec), ToolResult), key=lambda one: one.key)
    ]
    assert [text.split(":")[0] for text in told] == [
        "The arguments are not JSON",
        "There is no tool 'wether'. There are",
        "Wrong arguments",
        "ZeroDivisionError",
    ]
    assert len(functions.made) == 1


async def test_rounds_are_bounded_and_the_last_one_knows_no_tools(
    backend: JobBackend, relay: Callable[..., Bench], functions: CalledFunctions, upstream: Upstream
) -> None:
    bench = relay()
    spec = await submitted(backend, asking(BOTH[:1], "insisting", tool_choice="required"), "insisting")
    await bench.make(spec.queue)
    assert len(functions.made) == ROUNDS
    assert [("tools" in body, body.get("tool_choice")) for body, _ in upstream.seen] == [
        (True, "required"),
        *[(True, "auto")] * (ROUNDS - 1),
        (False, None),
    ]
    assert (await bench.text(spec.id)).endswith(FOUND + "|".join(["sun in Ulm"] * ROUNDS))


async def test_a_call_of_the_clients_own_tool_ends_the_answer_with_it(
    backend: JobBackend, relay: Callable[..., Bench], functions: CalledFunctions
) -> None:
    theirs = {"type": "function", "function": {"name": "theirs", "parameters": {}}}
    calls = [*BOTH[:1], {"name": "theirs", "arguments": {"x": 1}}]
    spec = await submitted(backend, asking(calls, "calling", tools=[theirs], stream=True))
    await relay().make(spec.queue)
    log = await events(backend, spec)
    pieces = [piece for delta in of(log, Delta) for piece in (delta.extra or {}).get("tool_calls", ())]
    assert {piece["index"] for piece in pieces} == {0}
    assert (pieces[0]["function"]["name"], "".join(piece["function"]["arguments"] for piece in pieces)) == ("theirs", '{"x": 1}')
    assert of(log, ChoiceFinished) == [ChoiceFinished(finish_reason="tool_calls")]
    assert functions.made == []


async def test_a_server_that_refuses_tools_is_told_of_them_in_words(
    backend: JobBackend, relay: Callable[..., Bench], functions: CalledFunctions
) -> None:
    bench = relay()
    spec = await submitted(backend, asking(BOTH, "worded", stream=True), "worded")
    await bench.make(spec.queue)
    assert await bench.text(spec.id) == f"{FOUND}sun in Ulm|" + '{"of":"Rom"}'
    assert len(functions.made) == 2


async def test_a_stop_stops_the_calls_that_run(backend: JobBackend, relay: Callable[..., Bench], functions: CalledFunctions) -> None:
    bench = relay()
    functions.go.clear()
    spec = await submitted(backend, asking(BOTH, "calling"), **CHAT)
    task = bench.begin(spec)
    await until(lambda: functions.running == 2, "both calls run")
    assert await backend.claims.cancel(spec.id) == "running"
    await asyncio.wait_for(task, 10)
    assert (await events(backend, spec))[-1] == Cancelled()
    assert len(functions.stopped) == 2
    assert bench.kept.saved[0][1] == LOOKING
    assert [set(call) for call in bench.kept.calls] == [{"key", "name", "arguments"}] * 2


async def killed(backend: JobBackend, bench: Bench, task: "asyncio.Task[bool]", spec: JobSpec) -> None:
    """As by kill -9: nothing of it is heard any more."""
    await bench.die()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await backend.bury(bench.name, (spec.queue,))


async def test_a_call_that_goes_on_after_its_askers_death_is_found_again(
    backend: JobBackend, relay: Callable[..., Bench], relaying: Relaying, functions: CalledFunctions
) -> None:
    dying, heir = relay(), relay("two")
    functions.go.clear()
    spec = await submitted(backend, asking(BOTH, "calling", stream=True), **CHAT)
    task = dying.begin(spec)
    await until(lambda: functions.running == 2, "both calls run")
    await killed(backend, dying, task, spec)
    assert functions.stopped == []
    functions.go.set()
    await heir.make(spec.queue)
    assert await heir.text(spec.id) == ANSWER
    assert len(functions.made) == 2
    assert len(relaying.asked) == 2, "the first round's model was asked once"


async def test_whoever_takes_over_after_a_finished_call_does_not_make_it_again(
    backend: JobBackend, relay: Callable[..., Bench], relaying: Relaying, functions: CalledFunctions
) -> None:
    dying, heir = relay(), relay("two")
    relaying.hold = asyncio.Event()
    spec = await submitted(backend, asking(BOTH, "calling", stream=True), **CHAT)
    task = dying.begin(spec)
    await until(lambda: len(relaying.asked) == 2, "the second round is asked for")
    await killed(backend, dying, task, spec)
    relaying.hold.set()
    await heir.make(spec.queue)
    assert await heir.text(spec.id) == ANSWER
    assert len(functions.made) == 2
    assert (await events(backend, spec))[-1] == Finished(usage=Usage(prompt_tokens=20, completion_tokens=10, total_tokens=30))


async def test_a_relay_that_leaves_between_two_rounds_hands_the_answer_over(
    backend: JobBackend, relay: Callable[..., Bench], functions: CalledFunctions
) -> None:
    leaving, heir = relay(), relay("two")
    functions.go.clear()
    spec = await submitted(backend, asking(BOTH, "calling", stream=True), **CHAT)
    task = leaving.begin(spec)
    await until(lambda: functions.running == 2, "both calls run")
    await leaving.leases.drain(5)
    await task
    functions.go.set()
    await heir.make(spec.queue)
    assert await heir.text(spec.id) == ANSWER
    assert len(functions.made) == 2


CALL = json.dumps({"tool_calls": BOTH[:1]})
LOCAL = {"kind": "generate_reply", "model": "m", "prompted": True}


@pytest.mark.parametrize("written", [CALL, f"```json\n{CALL}\n```", f" {CALL}\nIt is hot."])
async def test_a_local_model_calls_in_words(backend: JobBackend, new_bench: Benches, functions: CalledFunctions, written: str) -> None:
    generator = Scripted(written, "Sunny.")
    bench = new_bench(generator, calls=functions)
    spec = await submitted(backend, asking("How is the weather?", "m"), **LOCAL, **CHAT)
    await bench.make(spec.queue)
    assert bench.kept.saved[0][1] == "Sunny."
    first, second = generator.asked
    assert "weather" in first[0]["content"]
    assert "sun in Ulm" in second[-1]["content"]
    assert second[-2]["content"] == written
    assert (await events(backend, spec))[-1] == Finished(
        usage=Usage(prompt_tokens=2, completion_tokens=len(written) + 6, total_tokens=len(written) + 8)
    )


@pytest.mark.parametrize("written", ["{}", '{"tool_calls": [{"name": "weather"', '{"tool_calls": "weather"}', "```python\nx\n```", ""])
async def test_what_is_no_call_is_shown_as_text(backend: JobBackend, new_bench: Benches, functions: CalledFunctions, written: str) -> None:
    bench = new_bench(Scripted(written), calls=functions)
    spec = await submitted(backend, asking("Hello.", "m"), **LOCAL, **CHAT)
    await bench.make(spec.queue)
    assert bench.kept.saved[0][1] == written
    assert isinstance(await bench.last(spec.id), Finished)


async def test_a_local_answer_goes_on_in_the_round_in_which_its_worker_died(
    backend: JobBackend, new_bench: Benches, functions: CalledFunctions
) -> None:
    generator = Scripted(CALL, "It is sunny in Ulm.", "It is sunny in Ulm.")
    generator.go = asyncio.Semaphore(len(CALL) + 5)
    dying, heir = new_bench(generator, calls=functions), new_bench(generator, name="two", calls=functions)
    spec = await submitted(backend, asking("How is the weather?", "m"), **LOCAL, **CHAT)
    task = dying.begin(spec)

    async def shown() -> bool:
        return await dying.text(spec.id) == "It is"

    await until(shown, "five letters are out")
    await killed(backend, dying, task, spec)
    generator.go = None
    await heir.make(spec.queue)
    assert heir.kept.saved[0][1] == "It is sunny in Ulm."
    assert await heir.starts(spec.id) == [("one", None), ("two", "exact")]
    assert len(functions.made) == 1


async def test_a_relayed_answer_is_cut_only_where_its_open_round_had_begun(
    backend: JobBackend, new_bench: Benches, functions: CalledFunctions
) -> None:
    call = {"id": "c", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Ulm"}'}}

    class Slow(Scripted):
        async def generate(self, prompt: Prompt) -> AsyncGenerator[Delta | ChoiceFinished | Usage, None]:
            if not prompt.later:
                self.asked.append(prompt.messages)
                yield Delta(text="Let me look.", extra={"tool_calls": [call]})
                yield ChoiceFinished(finish_reason="tool_calls")
                return
            async for part in super().generate(prompt):
                yield part

    generator = Slow("", "It is sunny.")
    generator.numerics = None
    generator.go = asyncio.Semaphore(5)
    dying, heir = new_bench(generator, calls=functions), new_bench(generator, name="two", calls=functions)
    spec = await submitted(backend, asking("How is the weather?", "m"), "m", **CHAT)
    task = dying.begin(spec)

    async def shown() -> bool:
        return (await dying.text(spec.id)).endswith("It is")

    await until(shown, "five letters are out")
    await killed(backend, dying, task, spec)
    await heir.make(spec.queue)
    failed = await heir.last(spec.id)
    assert isinstance(failed, Failed)
    assert failed.code == "upstream_broken"
    assert heir.kept.saved[0][1] == "Let me look.\n\nIt is"
