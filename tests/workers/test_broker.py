import asyncio
import threading
from collections.abc import AsyncIterator

import dramatiq
import pytest
from dramatiq.worker import Worker

from core.jobs import GenerateReply
from tests.desk import Desk
from tests.polling import until
from workers.broker import WakeBroker
from workers.process import IDLE_MS

QUEUE = "dramatiq:gpu.generate"
PLACES = 2


class Actor:
    """Notes the jobs it is given, and keeps each until it may ``go``."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.go = threading.Semaphore(0)

    def __call__(self, job_id: str) -> None:
        self.begun.append(job_id)
        self.go.acquire(timeout=20)


@pytest.fixture
async def actor(desk: Desk, redis_url: str) -> AsyncIterator[Actor]:
    """One that a running worker calls, for PLACES jobs at a time."""
    del desk  # jobs are enqueued there
    made = Actor()
    broker = WakeBroker(redis_url, middleware=[], places={GenerateReply.queue: PLACES})
    dramatiq.actor(broker=broker, actor_name=GenerateReply.actor, queue_name=GenerateReply.queue)(made)
    worker = Worker(broker, worker_timeout=IDLE_MS, worker_threads=PLACES)
    await asyncio.to_thread(worker.start)
    yield made
    broker.drain()
    made.go.release(20)
    await asyncio.to_thread(worker.stop, 1)  # its threads end when they next look


async def waiting(desk: Desk) -> tuple[int, int]:
    """How many messages wait, and how many Redis keeps, those included that somebody has."""
    return await desk.broker.llen(QUEUE), await desk.broker.hlen(f"{QUEUE}.msgs")


async def enqueue(desk: Desk, *names: str) -> None:
    for name in names:
        await desk.queue.enqueue(GenerateReply(id=name))


async def test_what_is_done_is_acknowledged_and_makes_place_for_what_waits(desk: Desk, actor: Actor) -> None:
    await enqueue(desk, "a", "b", "c")
    await until(lambda: len(actor.begun) == PLACES, "all places are taken")
    assert await waiting(desk) == (1, 3)
    actor.go.release()
    await until(lambda: len(actor.begun) == 3, "the third is begun")
    actor.go.release(2)

    async def empty() -> bool:
        return await waiting(desk) == (0, 0)

    await until(empty, "Redis keeps nothing of jobs that are done")
    assert sorted(actor.begun) == ["a", "b", "c"]


async def test_a_redis_that_has_forgotten_its_scripts_is_given_them_again(desk: Desk, actor: Actor) -> None:
    await enqueue(desk, "a")
    await until(lambda: actor.begun, "the first is begun")
    await desk.broker.script_flush()
    actor.go.release(2)
    await enqueue(desk, "b")

    async def empty() -> bool:
        return await waiting(desk) == (0, 0)

    await until(empty, "both are done")
    assert actor.begun == ["a", "b"]


async def test_what_is_done_is_acknowledged_after_the_connection_broke(desk: Desk, actor: Actor) -> None:
    await enqueue(desk, "a")
    await until(lambda: actor.begun, "the first is begun")
    await desk.redis.client_kill_filter(_type="normal")
    actor.go.release(2)
    await enqueue(desk, "b")

    async def empty() -> bool:
        return await waiting(desk) == (0, 0)

    await until(empty, "both are done")
    assert actor.begun == ["a", "b"]
