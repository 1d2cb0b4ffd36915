"""Answers that stand on passages, and the deaths of their workers: what was found is found once."""

import asyncio
from collections.abc import Callable

import pytest

from core.errors import Unavailable
from core.models.events import Cancelled, Delta, Event, Failed, Sources, Started
from core.models.jobs import JobSpec
from core.models.sources import LookThrough
from tests.job_backend import BODY, JobBackend, new_reply
from tests.polling import until
from tests.workers.conftest import WORDS, Bench, longer, release, stepwise

Benches = Callable[..., Bench]
WHOLE = "".join(WORDS)
LOOK = LookThrough(knowledge_ids=("b",))


async def submitted(backend: JobBackend, kind: str = "generate_reply", **chat: str) -> JobSpec:
    spec = new_reply(kind, look_through=LOOK, **chat)
    await backend.queue.submit(spec, BODY)
    return spec


async def events(backend: JobBackend, spec: JobSpec) -> list[Event]:
    return [event for _, event in await backend.log.read(spec.id)]


CHAT = {"chat_id": "a chat", "message_id": "its answer"}


@pytest.mark.parametrize("chat", [CHAT, {}], ids=["chat", "completion"])
async def test_what_it_stands_on_is_told_before_its_text_and_noted_with_it(
    backend: JobBackend, new_bench: Benches, chat: dict[str, str]
) -> None:
    spec, bench = await submitted(backend, **chat), new_bench()
    await bench.make(spec.queue)
    log = await events(backend, spec)
    assert [type(event) for event in log[:3]] == [Started, Sources, Delta]
    assert isinstance(log[1], Sources)
    assert [(source.number, source.passage, source.pages) for source in log[1].sources] == [(1, "Passage 1.", (3,))]
    assert bench.kept.sources == [(spec.id, 1)]
    (asked,) = bench.generator.asked
    assert "Passage 1." in asked[-1]["content"]
    assert asked[-1]["content"].endswith("the question" if chat else "hi")


@pytest.mark.parametrize("chat", [CHAT, {}], ids=["chat", "completion"])
async def test_whoever_takes_it_over_has_the_same_passages_and_looks_no_second_time(
    backend: JobBackend, new_bench: Benches, chat: dict[str, str]
) -> None:
    spec, dying, heir = await submitted(backend, **chat), new_bench(stepwise()), new_bench(name="two")
    task = dying.begin(spec)
    release(dying.generator, 3)
    await until(lambda: longer(dying, spec.id, 2), "three words are out")
    await dying.die()
    heir.found.times = 5  # it would find others
    await backend.bury("one", dying.fetching.queues)
    await heir.make(spec.queue)
    release(dying.generator, 20)
    await task
    assert heir.found.times == 5
    assert heir.generator.asked[-1] == dying.generator.asked[-1]
    assert await heir.text(spec.id) == WHOLE
    assert sum(isinstance(event, Sources) for event in await events(backend, spec)) == 1


async def test_a_worker_that_dies_between_finding_and_telling_leaves_the_telling_to_its_heir(
    backend: JobBackend, new_bench: Benches, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, dying, heir = await submitted(backend, **CHAT), new_bench(), new_bench(name="two")
    told = asyncio.Event()

    async def never(*_: object) -> None:
        told.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(dying.kept, "save_sources", never)  # where it dies
    task = dying.begin(spec)
    await told.wait()
    await dying.die()
    heir.found.times = 5
    await backend.bury("one", dying.fetching.queues or (spec.queue,))
    await heir.make(spec.queue)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    (told_of,) = [event for event in await events(backend, spec) if isinstance(event, Sources)]
    assert [source.passage for source in told_of.sources] == ["Passage 1."]
    assert heir.kept.sources == [(spec.id, 1)]
    assert "Passage 1." in heir.generator.asked[-1][-1]["content"]
    assert heir.found.times == 5


async def test_what_cannot_be_looked_through_fails_the_answer_with_the_reason(backend: JobBackend, new_bench: Benches) -> None:
    spec, bench = await submitted(backend, **CHAT), new_bench()
    bench.found.error = Unavailable("The embedder is away.", retry_after=5)
    await bench.make(spec.queue)
    assert await bench.last(spec.id) == Failed(code="unavailable", detail="The embedder is away.", retry_after=5)
    assert bench.generator.asked == []


async def test_one_that_is_stopped_while_it_looks_ends_at_once(
    backend: JobBackend, new_bench: Benches, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, bench = await submitted(backend, **CHAT), new_bench()
    looking = asyncio.Event()

    async def never(*_: object) -> None:
        looking.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(bench.found, "find", never)
    task = bench.begin(spec)
    await looking.wait()
    assert await backend.claims.cancel(spec.id) == "running"
    await asyncio.wait_for(task, 10)
    assert await bench.last(spec.id) == Cancelled()
    assert bench.generator.asked == []
