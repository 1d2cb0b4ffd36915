"""Whoever submits a job may die between any two of the steps that a cluster needs for it."""

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from itertools import chain
from operator import eq, le
from typing import Any

import pytest

from core.jobs import reaper
from core.jobs.queue import JobQueue
from core.models.events import Finished
from core.models.jobs import JobSpec, JobStatus
from core.redis.client import Redis, Scripts
from core.redis.connection import Argument
from core.redis.keys import QUEUES, SUSPECTS, submitting_key
from tests.job_backend import BODY, QUEUE, JobBackend

Specs = Callable[[], JobSpec]
ASIDE = QUEUE + SUSPECTS


class Dying(Scripts):
    """Calls of a process that dies: ``lost`` says which of them never leave it, by their numbers. Nobody answers those."""

    def __init__(self, redis: Redis, lost: Callable[[int], bool]) -> None:
        super().__init__(redis)
        self.made: list[asyncio.Future[Any]] = []
        self.dead = asyncio.Event()
        self._lost = lost

    def _call(self, key: Argument | None, words: tuple[Argument, ...]) -> "asyncio.Future[Any]":
        if self._lost(len(self.made) + 1):
            self.dead.set()
            return asyncio.get_running_loop().create_future()
        self.made.append(super()._call(key, words))
        return self.made[-1]

    async def die_in(self, doing: Coroutine[Any, Any, None]) -> bool:
        """Do something as far as it goes; whether that was not to its end. What was under way beside the lost call arrives."""
        task, dying = asyncio.ensure_future(doing), asyncio.ensure_future(self.dead.wait())
        await asyncio.wait((task, dying), return_when=asyncio.FIRST_COMPLETED)
        await asyncio.gather(*self.made)
        for ended in (task, dying):
            ended.cancel()
        await asyncio.gather(dying, return_exceptions=True)
        await asyncio.wait((task,))
        return task.cancelled()


async def start_anew(backend: JobBackend) -> None:
    for node in await backend.nodes():
        await node.flushall()


async def waits_once_or_never_was(backend: JobBackend, spec: JobSpec) -> bool:
    """Whether it was recorded. What was recorded is on its queue, once, and its queue is known."""
    recorded = await backend.claims.state(spec.id) is not None
    assert await backend.queue.waiting(QUEUE, 9) == ([spec.id] if recorded else [])
    assert await backend.queue.unfinished(QUEUE) == ([spec.id] if recorded else [])
    assert not recorded or QUEUE in await backend.queue.queues()
    return recorded


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was begun is old enough to be ended by others."""
    monkeypatch.setattr(reaper, "HALF_SUBMITTED_S", -1)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("beside", [False, True], ids=["all-that-follows-is-lost", "what-went-beside-it-arrives"])
async def test_a_job_whose_submitter_died_at_any_step_is_lost_in_none_and_doubled_in_none(
    backend: JobBackend, new_spec: Specs, *, beside: bool
) -> None:
    cut, died, recorded = 0, True, set()
    while died:
        cut += 1
        await start_anew(backend)
        spec = new_spec()
        if beside and await backend.scripts.together(spec.id, QUEUE):
            return  # one node is told everything in one breath
        scripts = Dying(backend.client, partial(eq if beside else le, cut))
        died = await scripts.die_in(JobQueue(scripts).submit(spec, BODY))
        await backend.reaper.complete_submissions()
        recorded.add(await waits_once_or_never_was(backend, spec))
        await backend.queue.submit(spec, BODY)  # its client asks again
        await backend.reaper.complete_submissions()
        assert await waits_once_or_never_was(backend, spec)
        await is_done_once(backend, spec)
    assert recorded == {False, True}


async def is_done_once(backend: JobBackend, spec: JobSpec) -> None:
    """Although whoever was slow to submit it ends that now."""
    claim = await backend.give(spec, "one")
    await backend.queue.complete(spec, spec.id, QUEUE)
    assert await backend.queue.waiting(QUEUE, 9) == []
    await backend.claims.append(claim, 1, [Finished()], end=JobStatus.FINISHED)
    await backend.queue.fetch(QUEUE, "one", 0, [spec.id])
    await backend.queue.complete(spec, spec.id, QUEUE)
    await backend.queue.fetch(QUEUE, "two", 9)
    assert await backend.claims.claim(spec.id, "two") is None


@pytest.mark.usefixtures("impatient")
async def test_one_that_is_slow_to_record_its_job_is_waited_for(
    backend: JobBackend, new_spec: Specs, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, submitting = new_spec(), submitting_key(QUEUE)
    await backend.scripts.run(backend.queue._begin, (submitting,), (spec.id,))
    await backend.scripts.command("SADD", QUEUES, QUEUE)
    await backend.reaper.complete_submissions()
    assert await backend.redis.zcard(submitting) == 1
    monkeypatch.setattr(reaper, "NEVER_RECORDED_S", -1)
    await backend.reaper.complete_submissions()
    assert await backend.redis.zcard(submitting) == 0


async def test_a_job_that_was_moved_by_a_process_that_dies_is_never_between_two_queues(backend: JobBackend, new_spec: Specs) -> None:
    cut, died = 0, True
    while died:
        cut += 1
        await start_anew(backend)
        spec = new_spec()
        await backend.queue.submit(spec, BODY)
        await backend.queue.fetch(QUEUE, "one", 1)
        scripts = Dying(backend.client, partial(le, cut))
        died = await scripts.die_in(move_and_drop(JobQueue(scripts), spec))
        waiting = [await backend.queue.waiting(name, 9) for name in (QUEUE, ASIDE)]
        kept = [await backend.queue.unfinished(name) for name in (QUEUE, ASIDE)]
        assert len([*await backend.queue.in_hand(QUEUE, "one"), *chain(*waiting)]) == len([*chain(*kept)]) == int(died)
    assert cut > 3


async def move_and_drop(queue: JobQueue, spec: JobSpec) -> None:
    await queue.put_back(spec, QUEUE, onto=ASIDE, worker_id="one")
    await queue.move(spec, ASIDE, QUEUE)
    await queue.drop(spec.id, QUEUE)
