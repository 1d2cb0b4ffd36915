import asyncio
from collections.abc import AsyncIterator

import pytest
from dramatiq.worker import Worker

from core.jobs import GenerateReply
from tests.job_backend import JobBackend
from tests.polling import until
from workers.broker import WakeBroker
from workers.process import IDLE_MS

QUEUE = "dramatiq:gpu.generate"
PLACES = 2


class Maker:
    """Notes the jobs it is given, and makes each for as long as it may not ``go``."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.go = asyncio.Semaphore(0)

    async def make(self, job_id: str) -> None:
        self.begun.append(job_id)
        await self.go.acquire()
        if job_id == "bug":
            raise RuntimeError(job_id)


@pytest.fixture
async def maker(backend: JobBackend, redis_url: str) -> AsyncIterator[Maker]:
    """One that a running worker gives PLACES jobs at a time."""
    del backend  # jobs are enqueued there
    made = Maker()
    broker = WakeBroker(redis_url, middleware=[], places={GenerateReply.queue: PLACES})
    broker.declare(GenerateReply, made.make, asyncio.get_running_loop())
    worker = Worker(broker, worker_timeout=IDLE_MS, worker_threads=1)
    await asyncio.to_thread(worker.start)
    yield made
    broker.drain()
    await asyncio.to_thread(worker.stop, 1)  # its threads end when they next look


async def kept(backend: JobBackend) -> tuple[int, int]:
    """How many messages wait, and how many Redis keeps, those included that somebody has."""
    return await backend.broker.llen(QUEUE), await backend.broker.hlen(f"{QUEUE}.msgs")


async def enqueue(backend: JobBackend, *names: str) -> None:
    for name in names:
        await backend.queue.enqueue(GenerateReply(id=name))


async def nothing_is_kept(backend: JobBackend) -> None:
    async def empty() -> bool:
        return await kept(backend) == (0, 0)

    await until(empty, "Redis keeps nothing of jobs that have ended")


async def test_what_has_ended_is_acknowledged_and_makes_place_for_what_waits(backend: JobBackend, maker: Maker) -> None:
    await enqueue(backend, "a", "b", "c")
    await until(lambda: len(maker.begun) == PLACES, "all places are taken")
    assert await kept(backend) == (1, 3)
    maker.go.release()
    await until(lambda: len(maker.begun) == 3, "the third is begun")
    for _ in range(PLACES):
        maker.go.release()
    await nothing_is_kept(backend)
    assert maker.begun == ["a", "b", "c"]


async def test_a_bug_is_logged_and_keeps_no_place(backend: JobBackend, maker: Maker, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(PLACES + 1):
        maker.go.release()
    await enqueue(backend, *["bug"] * PLACES, "a")
    await nothing_is_kept(backend)
    assert "a" in maker.begun
    assert "RuntimeError" in "".join(capsys.readouterr())


async def test_a_job_that_comes_twice_is_begun_twice_and_each_message_waits_for_one_of_them(redis_url: str) -> None:
    made = Maker()
    broker = WakeBroker(redis_url, middleware=[], places={})
    broker.declare(GenerateReply, made.make, asyncio.get_running_loop())
    for _ in range(2):
        await asyncio.to_thread(broker.actors[GenerateReply.actor].fn, "a")
    first, second = broker.begun("a"), broker.begun("a")
    await until(lambda: made.begun == ["a", "a"], "both are begun")
    made.go.release()
    await until(lambda: first.done() != second.done(), "one has ended")
    made.go.release()
    await until(lambda: first.done() and second.done(), "both have ended")


async def test_a_redis_that_has_forgotten_its_scripts_is_given_them_again(backend: JobBackend, maker: Maker) -> None:
    await enqueue(backend, "a")
    await until(lambda: maker.begun, "the first is begun")
    await backend.broker.script_flush()
    for _ in range(PLACES):
        maker.go.release()
    await enqueue(backend, "b")
    await nothing_is_kept(backend)
    assert maker.begun == ["a", "b"]


async def test_what_ends_while_connections_break_is_acknowledged(backend: JobBackend, maker: Maker) -> None:
    await enqueue(backend, "a")
    await until(lambda: maker.begun, "the first is begun")
    await backend.redis.client_kill_filter(_type="normal")
    for _ in range(PLACES):
        maker.go.release()
    await enqueue(backend, "b")
    await nothing_is_kept(backend)
    assert maker.begun == ["a", "b"]
