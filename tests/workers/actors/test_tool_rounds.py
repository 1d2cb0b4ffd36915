"""Answers in rounds: what is called, what that gives, and what is said."""

import asyncio
from collections.abc import Callable

import msgspec
import pytest

from core.models.completions import Usage
from core.models.events import Cancelled, ChoiceFinished, Delta, Finished, Step, ToolCall, ToolResult
from tests.called_functions import CalledFunctions
from tests.job_backend import JobBackend
from tests.polling import until
from tests.tool_models import FOUND, LOOKING
from tests.upstream import Upstream
from tests.workers.actors.tool_work import (
    ANSWER,
    BOTH,
    CALL,
    CHAT,
    LOCAL,
    Benches,
    Scripted,
    asking,
    events,
    functions,
    jobs_url,
    of,
    relay,
    relaying,
    submitted,
    upstream,
)
from tests.workers.conftest import ROUNDS, Bench

__all__ = ["functions", "jobs_url", "relay", "relaying", "upstream"]


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
