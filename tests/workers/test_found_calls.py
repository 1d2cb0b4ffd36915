"""Calls whose ids follow from what they are for: found again, and made once."""

import asyncio
from typing import Any

import msgspec
import pytest

from core.errors import Unavailable
from core.jobs import CALL_FUNCTION
from core.jobs.calls import Calls
from core.jobs.results import Results
from core.models.events import Event, Finished
from core.models.function_calls import CallFunction, FunctionOutcome
from core.models.jobs import JobStatus
from core.redis.keys import events_key, job_key, result_key
from core.services.functions.calls import FunctionCalls
from tests.job_backend import JobBackend
from tests.polling import until
from tests.worker_parts import WorkerParts
from workers.attempt import Attempt

CALL = CallFunction(function_id="f", version_id="v", entry="e", arguments={}, user_id="u")
OUTCOME = FunctionOutcome(result=msgspec.Raw(b"1"), duration=0.1, isolation="none")


class Calling:
    """The actor: how often it was begun, and when it may end."""

    def __init__(self, results: Results) -> None:
        self.results = results
        self.begun = 0
        self.stopped = False
        self.go = asyncio.Event()

    def __call__(self, attempt: Attempt) -> "Called":
        return Called(self, attempt)


class Called:
    """One attempt at it."""

    keeps = False

    def __init__(self, by: Calling, attempt: Attempt) -> None:
        self._by = by
        self._id = attempt.claim.spec.id

    async def do(self) -> Finished:
        self._by.begun += 1
        try:
            await self._by.go.wait()
        except asyncio.CancelledError:
            self._by.stopped = True
            raise
        await self._by.results.put(self._id, msgspec.json.encode(OUTCOME))
        return Finished()

    async def keep(self, status: JobStatus, last: Event) -> None:
        assert status, last


@pytest.fixture
def results(backend: JobBackend) -> Results:
    return Results(backend.scripts)


@pytest.fixture
def calls(backend: JobBackend, results: Results) -> FunctionCalls:
    about: dict[str, Any] = {"workers": backend.workers, "claims": backend.claims, "queue": backend.queue, "events": backend.log}
    return FunctionCalls(Calls(**about, results=results))


@pytest.fixture
async def calling(backend: JobBackend, results: Results) -> Any:
    actor = Calling(results)
    about: dict[str, Any] = {"claims": backend.claims, "queue": backend.queue, "events": backend.log, "workers": backend.workers}
    worker = WorkerParts("one", actors={CALL_FUNCTION: actor}, models=(), **about)
    await worker.start()
    yield actor
    await worker.leases.drain(0)
    await worker.die()


async def left(backend: JobBackend, job_id: str) -> int:
    return sum([await backend.redis.exists(key) for key in (job_key(job_id), events_key(job_id), result_key(job_id))])


async def test_one_that_is_asked_for_again_is_made_once(backend: JobBackend, calls: FunctionCalls, calling: Calling) -> None:
    first = asyncio.create_task(calls.run(CALL, job_id="tool-g-1-0"))
    await until(lambda: calling.begun == 1, "it is begun")
    first.cancel()  # whoever asked is gone
    await asyncio.gather(first, return_exceptions=True)
    again = asyncio.create_task(calls.run(CALL, job_id="tool-g-1-0"))
    await asyncio.sleep(0.1)
    calling.go.set()
    assert await again == OUTCOME
    assert await calls.run(CALL, job_id="tool-g-1-0") == OUTCOME, "it has ended, and is still known"
    assert calling.begun == 1
    await calls.forget("tool-g-1-0")
    assert await left(backend, "tool-g-1-0") == 0


async def test_one_that_is_forgotten_stops(backend: JobBackend, calls: FunctionCalls, calling: Calling) -> None:
    asked = asyncio.create_task(calls.run(CALL, job_id="tool-g-1-0"))
    await until(lambda: calling.begun == 1, "it is begun")
    await calls.forget("tool-g-1-0")
    asked.cancel()
    await asyncio.gather(asked, return_exceptions=True)
    await until(lambda: calling.stopped, "it is stopped")
    assert await left(backend, "tool-g-1-0") == 0


async def test_without_an_id_a_call_is_the_askers_alone(calls: FunctionCalls, calling: Calling) -> None:
    asked = asyncio.create_task(calls.run(CALL))
    await until(lambda: calling.begun == 1, "it is begun")
    asked.cancel()
    await asyncio.gather(asked, return_exceptions=True)
    await until(lambda: calling.stopped, "it is stopped")


async def test_a_lost_result_is_not_had_by_calling_again(calls: FunctionCalls, calling: Calling, results: Results) -> None:
    calling.go.set()
    await calls.run(CALL, job_id="tool-g-1-0")
    await results._scripts.command("DEL", result_key("tool-g-1-0"))
    with pytest.raises(Unavailable, match="lost the result"):
        await calls.run(CALL, job_id="tool-g-1-0")
    assert calling.begun == 1
