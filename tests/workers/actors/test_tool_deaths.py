"""Tools are called once, whoever dies."""

import asyncio
from collections.abc import AsyncGenerator, Callable

from core.models.completions import Usage
from core.models.events import ChoiceFinished, Delta, Failed, Finished
from pipelines.chat import Prompt
from tests.called_functions import CalledFunctions
from tests.job_backend import JobBackend
from tests.polling import until
from tests.workers.actors.tool_work import (
    ANSWER,
    BOTH,
    CALL,
    CHAT,
    LOCAL,
    Benches,
    Relaying,
    Scripted,
    asking,
    events,
    functions,
    jobs_url,
    killed,
    relay,
    relaying,
    submitted,
    upstream,
)
from tests.workers.conftest import Bench

__all__ = ["functions", "jobs_url", "relay", "relaying", "upstream"]


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
