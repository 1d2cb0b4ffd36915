"""From enqueue to the actor's start on an idle worker: ``python -m benchmarks.queue``."""

import asyncio
import statistics
import tempfile
import time
from collections.abc import AsyncGenerator
from pathlib import Path

from dramatiq.worker import Worker

from benchmarks.rows import Row, show
from core.jobs import GenerateReply
from core.jobs.queue import JobQueue
from core.redis.client import Scripts, connect
from tests.stack import stack_in
from workers.broker import WakeBroker
from workers.process import IDLE_MS

JOBS = 200
IDLE_S = 0.03


async def measure() -> AsyncGenerator[Row, None]:
    """One job at a time, with a rest between, so that the consumer sleeps each time."""
    with tempfile.TemporaryDirectory() as folder:
        async with stack_in(Path(folder)) as stack:
            await stack.start_redis()
            started: asyncio.Queue[float] = asyncio.Queue()
            broker = WakeBroker(stack.redis_url, middleware=[], places={})

            async def generate_reply(job_id: str) -> None:
                del job_id
                started.put_nowait(time.perf_counter())

            broker.declare(GenerateReply, generate_reply, asyncio.get_running_loop())
            worker = Worker(broker, worker_timeout=IDLE_MS, worker_threads=1)
            worker.start()
            main, other = connect(stack.redis_url), connect(stack.redis_url, broker=True)
            queue = JobQueue(Scripts(main), Scripts(other))
            took = []
            for number in range(JOBS):
                await asyncio.sleep(IDLE_S)
                began = time.perf_counter()
                await queue.enqueue(GenerateReply(id=str(number)))
                took.append((await started.get() - began) * 1000)
            broker.drain()
            await asyncio.to_thread(worker.stop, 2_000)
            await main.aclose()
            await other.aclose()
            took.sort()
            note = f"90 of 100 within {took[int(len(took) * 0.9)]:.1f} ms"
            yield Row(what="enqueue → actor start, idle worker, median", measured=statistics.median(took), at_most=5, unit="ms", note=note)


if __name__ == "__main__":
    asyncio.run(show(measure()))
