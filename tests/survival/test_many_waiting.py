"""Twenty thousand jobs that wait cost nothing, and hold up no take-over."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest

from core.jobs.claims import Claims
from core.jobs.queue import JobQueue
from core.models.jobs import JobSpec
from core.redis.client import Scripts, connect
from core.settings import Settings
from tests.job_backend import BODY, new_reply
from tests.polling import until
from tests.stack import Running, Stack, stack_in
from tests.survival.counted import start_counting
from tests.workers.counting import MODEL

pytestmark = pytest.mark.timeout(110)

WAITING, AT_ONCE = 20_000, 1_000
LOOKED_AT_S = 2
LEASE_S = Settings().lease_ms / 1000
SLACK_S = 1


@pytest.fixture
async def stack(tmp_path: Path) -> AsyncIterator[Stack]:
    """Workers here have one place each."""
    async with stack_in(tmp_path, max_batch=1) as running:
        await running.start_redis()
        await running.start_api()
        yield running


class Jobs:
    """Jobs of the model that counts, in Redis."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self.redis = connect(stack.redis_url)
        scripts = Scripts(self.redis)
        self._queue, self.claims = JobQueue(scripts), Claims(scripts)

    async def submit(self, count: int) -> list[JobSpec]:
        specs = [new_reply(model=MODEL) for _ in range(count)]
        for start in range(0, count, AT_ONCE):
            await asyncio.gather(*(self._queue.submit(spec, BODY) for spec in specs[start : start + AT_ONCE]))
        return specs

    async def maker(self, spec: JobSpec) -> int | None:
        """The process that makes one now."""
        worker_id = await self.redis.hget(f"job:{{{spec.id}}}", "worker")
        return next((worker.pid for worker in await self._stack.workers() if worker.id.encode() == worker_id), None)

    async def begun(self, spec: JobSpec) -> bool:
        """Whether its readers have seen something of it."""
        return bool(await self.redis.hget(f"job:{{{spec.id}}}", "begun"))

    async def written(self) -> int:
        """Bytes that Redis has written to its log in some seconds."""
        before = (await self.redis.info("persistence"))["aof_current_size"]
        await asyncio.sleep(LOOKED_AT_S)
        written: int = (await self.redis.info("persistence"))["aof_current_size"] - before
        return written


async def test_jobs_that_wait_are_not_written_about_and_a_take_over_comes_before_them(stack: Stack) -> None:
    jobs = Jobs(stack)
    workers: list[Running] = await asyncio.gather(*(start_counting(stack, MODEL) for _ in range(2)))
    first, second = await jobs.submit(2)
    for spec in (first, second):
        await until(partial(jobs.begun, spec), "it is begun")
    idle = await jobs.written()
    await jobs.submit(WAITING)
    assert await jobs.written() <= 2 * idle
    lost, kept = [await jobs.maker(spec) for spec in (first, second)]
    await next(worker for worker in workers if worker.pid == lost).kill()

    async def state(wanted: str) -> bool:
        return await jobs.claims.state(first.id) == wanted

    await until(partial(state, "queued"), "it waits again", timeout_s=LEASE_S + 1 + SLACK_S)
    assert await jobs.claims.cancel(second.id) == "running"

    async def goes_on() -> bool:
        return await jobs.maker(first) == kept

    await until(goes_on, "the other worker, which has a place now, goes on with it", timeout_s=1 + SLACK_S)
    await jobs.redis.aclose()
