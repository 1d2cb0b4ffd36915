"""Trivial jobs in a process of their own, any build's: ``python -P jobs_process.py ROLE REDIS_URL``, run in that build's checkout.

It imports nothing of the benchmarks, for the other build has others. As ``worker`` it ends each job as soon as it has claimed it. As
``reader``, each line on standard input, ``CLIENTS JOBS``, has it submit that many jobs and read each to its end, so many at once; a line of
JSON says how many a second that made. With no clients they are submitted one at a time, each after a rest, and it says how many
milliseconds it took until the median job's actor began.
"""

import asyncio
import gc
import json
import statistics
import sys
import threading
import time
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import uvloop

NOW = find_spec("workers.fetching") is not None  # else a build before there was one delivery
KIND, MODEL, LEASE_MS = "relay_reply", "m", 3_000
REST_S = 0.03


@cache
def _of(module: str, *names: str) -> Any:
    found = [getattr(import_module(module), name) for name in names]
    return found if len(names) > 1 else found[0]


class Redis:
    """What both roles need of the build that runs."""

    def __init__(self, url: str) -> None:
        connect, scripts = _of("core.redis.client" if NOW else "core.storage.redis", "connect", "Scripts")
        claims, queue = _of("core.jobs.claims", "Claims"), _of("core.jobs.queue", "JobQueue")
        redis = connect(url)
        self.scripts = scripts(redis)
        self.duties: list[asyncio.Task[None]] = []
        self.events = _of("core.events", "EventLog")(redis)
        self.claims = claims(self.scripts) if NOW else claims(self.scripts, lease_ms=LEASE_MS)
        self.queue = queue(self.scripts) if NOW else queue(self.scripts, scripts(connect(url, broker=True)))

    async def submit(self, job_id: str) -> None:
        """As the services of the build do."""
        now = int(time.time())
        if NOW:
            spec = _of("core.models.jobs", "JobSpec")
            queue = _of("core.jobs", "queue_of")(KIND, MODEL)
            await self.queue.submit(spec(id=job_id, kind=KIND, queue=queue, owner="u", created_at=now), b"{}")
            return
        job, spec = _of("core.jobs", "RelayReply"), _of("core.models.generations", "GenerationSpec")
        body = _of("msgspec", "Raw")(b"{}")
        await self.claims.submit(spec(id=job_id, user_id="u", model=MODEL, queue=job.queue, seed=1, created_at=now, body=body))
        await self.queue.enqueue(job(id=job_id))


def finished() -> Any:
    """A job's last entry. In the place of tokens it says when the actor began, by the clock that all processes of a machine share."""
    event, usage = _of("core.models.events", "Finished"), _of("core.models.completions", "Usage")
    return event(usage=usage(prompt_tokens=time.perf_counter_ns(), completion_tokens=0, total_tokens=0))


async def do(redis: Redis) -> float:
    """One job; how many milliseconds it took until its actor began."""
    job_id, began = redis.events.new_id(), time.perf_counter_ns()
    redis.events.expect(job_id)
    await redis.submit(job_id)
    (last,) = [event async for _, event in redis.events.subscribe(job_id, fresh=True)]
    return float((last.usage.prompt_tokens - began) / 1e6)


async def many(redis: Redis, clients: int, jobs: int) -> float:
    """How many a second."""
    left = iter(range(jobs))

    async def client() -> None:
        for _ in left:
            await do(redis)

    began = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(clients)))
    return jobs / (time.perf_counter() - began)


async def one_at_a_time(redis: Redis, jobs: int) -> float:
    """The median's milliseconds until it began."""
    took = []
    for _ in range(jobs):
        await asyncio.sleep(REST_S)
        took.append(await do(redis))
    return statistics.median(took)


async def reader(url: str) -> None:
    """Standard input's lines, one after the other."""
    redis = Redis(url)
    await redis.events.start()
    gc.freeze()  # as the web processes of both builds do
    gc.set_threshold(10_000)
    _say({"threads": 1})
    while line := await asyncio.to_thread(sys.stdin.readline):
        clients, jobs = map(int, line.split())
        _say({"gave": await many(redis, clients, jobs) if clients else await one_at_a_time(redis, jobs)})


class Work:
    """A job that is done."""

    keeps = False

    async def do(self) -> Any:
        """Nothing."""
        return finished()

    async def keep(self, status: Any, last: Any) -> None:
        """Nowhere."""


async def worker(url: str) -> None:
    """The delivery since there is one, with the duties that a worker has besides."""
    from dramatiq import Broker  # noqa: PLC0415 - as all that only this build needs

    from core.jobs import KINDS, queue_of  # noqa: PLC0415
    from workers.attempt import Attempts  # noqa: PLC0415
    from workers.fetching import Fetching  # noqa: PLC0415
    from workers.leases import Leases  # noqa: PLC0415

    redis = Redis(url)
    await redis.events.start()
    workers = _of("core.redis.workers", "WorkerRegistry")(redis.scripts)
    leases: Any = Leases(redis.claims, redis.events, workers, lease_ms=LEASE_MS)
    attempts = Attempts(
        worker_id="worker",
        claims=redis.claims,
        queue=redis.queue,
        leases=leases,
        placement=_of("core.jobs.placement", "Placement")(redis.events, workers),
        actors={KIND: lambda _: Work()},
        flush_ms=20,
        time_limit_s=600,
    )
    fetching = Fetching(
        worker_id="worker",
        pool=KINDS[KIND].pool,
        queue=redis.queue,
        claims=redis.claims,
        events=redis.events,
        make=attempts.make,
        places={KIND: KINDS[KIND].places or 1},
        broker=Broker(middleware=[]),
    )
    fetching.serve({queue_of(KIND, MODEL): KIND})
    _of("core.collector", "spare_the_collector")()
    report = _of("core.models.pools", "Worker")
    about = {"host": "h", "pid": 1, "device": "cpu", "memory_bytes": 1, "started_at": 1, "models": (MODEL,), "numerics": {}}
    live = leases.live(lambda: report(id="worker", pool=KINDS[KIND].pool, running=len(leases), queues=fetching.queues, **about))
    await asyncio.gather(live, leases.hear_cancels(), fetching.run(), fetching.hear(), fetching.compare())


def worker_before(url: str) -> None:
    """The other delivery: Dramatiq's worker on threads of its own, jobs on an event loop."""
    from dramatiq.asyncio import EventLoopThread  # noqa: PLC0415 - as all that only that build needs
    from dramatiq.logging import get_logger  # noqa: PLC0415
    from dramatiq.worker import Worker  # noqa: PLC0415

    broker, job = _of("workers.broker", "WakeBroker"), _of("core.jobs", "RelayReply")
    sys.setswitchinterval(0.0005)
    loop = EventLoopThread(get_logger("worker"), interrupt_check_ival=3_600.0)
    loop.daemon = True
    loop.start(timeout=10)
    made = broker(url, middleware=[], places={job.queue: 128})

    async def begin() -> None:
        redis = Redis(url)
        await redis.events.start()
        leases = _of("workers.leases", "Leases")(redis.claims, redis.queue, redis.events, lease_ms=LEASE_MS)

        async def end(claim: Any, held: Any) -> str:
            del held
            await redis.claims.append(claim, 1, (finished(),), end=_of("core.models.generations", "GenerationStatus").FINISHED)
            return "finished"

        made.declare(job, lambda job_id: leases.work(job_id, "worker", end), asyncio.get_running_loop())
        redis.duties = [asyncio.create_task(duty()) for duty in (leases.renew, leases.reap, leases.hear_cancels)]

    loop.run_coroutine(begin())
    Worker(made, worker_timeout=5_000, worker_threads=1).start()
    threading.Event().wait()


def main() -> None:
    """One role."""
    role, url = sys.argv[1:]
    _of("core.logging", "configure")(_of("core.settings", "load")())
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    if role == "reader":
        asyncio.run(reader(url))
    elif NOW:
        asyncio.run(worker(url))
    else:
        worker_before(url)


def _say(told: dict[str, float]) -> None:
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
