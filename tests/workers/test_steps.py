"""Steps within a job: a worker's death costs the open one."""

import asyncio
from collections.abc import Callable
from functools import partial

import msgspec
import pytest

from core.errors import Unavailable
from core.jobs.claims import Fenced
from core.models.events import Event, Failed, Finished, Step, ToolCall, ToolResult
from core.models.jobs import JobSpec, JobStatus
from tests.job_backend import QUEUE, JobBackend
from tests.polling import until
from tests.worker_parts import WorkerParts
from workers.attempt import Attempt

PARTS = ("read", "think", "write")
SEARCH = ToolCall(key="search-1", name="search", arguments=msgspec.Raw(b'{"for":"penstock"}'))


class Thinking:
    """The actor of a job of three steps, each of which makes something of the one before; ``stops_in``: where it never gets on."""

    def __init__(self, stops_in: str = "", error: Exception | None = None) -> None:
        self.stops_in = stops_in
        self.error = error
        self.stopped = asyncio.Event()
        self.did: list[str] = []

    def __call__(self, attempt: Attempt) -> "Thought":
        return Thought(self, attempt)


class Thought:
    """One attempt at the job."""

    keeps = False

    def __init__(self, by: Thinking, attempt: Attempt) -> None:
        self._by = by
        self._attempt = attempt
        self._made: tuple[str, ...] = ()

    async def do(self) -> Finished:
        for part in PARTS:
            self._made = await self._attempt.step(part, partial(self._do, part), tuple[str, ...])
        found = await self._attempt.call(SEARCH, lambda: self._do("search"), tuple[str, ...])
        assert found == (*PARTS, "search")
        await self._attempt.step("close", partial(self._do, "close"), tuple[str, ...])
        return Finished()

    async def _do(self, part: str) -> tuple[str, ...]:
        self._by.did.append(part)
        if part == self._by.stops_in:
            self._by.stopped.set()
            if self._by.error:
                raise self._by.error
            await asyncio.Event().wait()
        return (*self._made, part)

    async def keep(self, status: JobStatus, last: Event) -> None:
        assert status.ended, last


def worker(backend: JobBackend, name: str, actor: Thinking) -> WorkerParts:
    return WorkerParts(
        name, claims=backend.claims, queue=backend.queue, events=backend.log, workers=backend.workers, actors={"generate_reply": actor}
    )


async def made(backend: JobBackend, name: str, actor: Thinking) -> None:
    """Let a worker take the job to its end."""
    parts = worker(backend, name, actor)
    await parts.start(takes=False)
    await parts.make(QUEUE)
    await parts.die()


async def killed(backend: JobBackend, name: str, actor: Thinking) -> None:
    """Let a worker take the job and die where it stops."""
    parts = worker(backend, name, actor)
    await parts.start(takes=False)
    task = asyncio.create_task(parts.make(QUEUE))
    await until(actor.stopped.is_set, f"{name} is in the step where it dies")
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await parts.die()
    await backend.bury(name)


async def told(backend: JobBackend, spec: JobSpec) -> list[Event]:
    return [event for _, event in await backend.log.read(spec.id)]


ALL: list[Event] = [
    *(Step(key=part, result=msgspec.Raw(msgspec.json.encode(PARTS[: place + 1]))) for place, part in enumerate(PARTS)),
    SEARCH,
    ToolResult(key=SEARCH.key, result=msgspec.Raw(msgspec.json.encode((*PARTS, "search")))),
    Step(key="close", result=msgspec.Raw(msgspec.json.encode((*PARTS, "close")))),
    Finished(),
]


async def test_a_take_over_does_only_the_open_step_again(backend: JobBackend, new_spec: Callable[[], JobSpec]) -> None:
    spec, first, second = new_spec(), Thinking(stops_in="think"), Thinking()
    await backend.queue.submit(spec)
    await killed(backend, "one", first)
    await made(backend, "two", second)
    assert (first.did, second.did) == (["read", "think"], ["think", "write", "search", "close"])
    assert await told(backend, spec) == ALL


async def test_an_open_call_is_told_again_under_the_same_key(backend: JobBackend, new_spec: Callable[[], JobSpec]) -> None:
    spec, first, second = new_spec(), Thinking(stops_in="search"), Thinking()
    await backend.queue.submit(spec)
    await killed(backend, "one", first)
    await made(backend, "two", second)
    assert second.did == ["search", "close"]
    assert await told(backend, spec) == [*ALL[:4], *ALL[3:]]


async def test_a_call_that_was_answered_is_neither_made_nor_told_again(backend: JobBackend, new_spec: Callable[[], JobSpec]) -> None:
    spec, first, second = new_spec(), Thinking(stops_in="close"), Thinking()
    await backend.queue.submit(spec)
    await killed(backend, "one", first)
    await made(backend, "two", second)
    assert second.did == ["close"]
    assert await told(backend, spec) == ALL


async def test_a_step_that_raises_is_not_done(backend: JobBackend, new_spec: Callable[[], JobSpec]) -> None:
    spec, away = new_spec(), Unavailable("away")
    await backend.queue.submit(spec)
    await made(backend, "one", Thinking(stops_in="think", error=away))
    assert await told(backend, spec) == [ALL[0], Failed.of(away)]


async def test_a_step_that_ended_is_progress_and_its_worker_is_no_suspect(backend: JobBackend, new_spec: Callable[[], JobSpec]) -> None:
    spec = new_spec()
    await backend.queue.submit(spec)
    for number, stops_in in enumerate((*PARTS, "search")):
        await killed(backend, f"worker-{number}", Thinking(stops_in))
    claim = await backend.give(spec, "last")
    assert claim.deaths == 1
    assert set(await backend.claims.results(claim)) == {*PARTS}


async def test_whoever_lost_the_job_tells_nothing_of_its_step(backend: JobBackend, new_spec: Callable[[], JobSpec]) -> None:
    spec = new_spec()
    stale = await backend.given(spec, "one")
    await backend.bury("one")
    await backend.give(spec, "two")
    with pytest.raises(Fenced):
        await backend.claims.append(stale, 1, [ALL[0]])
    assert await told(backend, spec) == []
