"""Claims, queues and logs over a real Redis: fixtures for whoever names this module as a plugin."""

import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, cast

import msgspec
import pytest
from redis.asyncio import Redis as Node
from redis.asyncio import RedisCluster

from core.events import EventLog
from core.jobs import queue_of
from core.jobs.claims import Claim, Claims
from core.jobs.placement import Placement
from core.jobs.queue import JobQueue
from core.jobs.reaper import Reaper
from core.models.generations import GenerationSpec
from core.models.jobs import JobSpec
from core.models.pools import Pool, Worker
from core.redis.client import Redis, Scripts, connect
from core.redis.workers import WorkerRegistry
from tests.polling import until

LEASE_MS = 500
QUEUE = queue_of("generate_reply", "m")
BODY = b'{"model":"m","messages":[{"role":"user","content":"hi"}]}'


@dataclass
class JobBackend:
    """What workers and web processes share. ``redis``: to look into it, whichever of its nodes a key lies on."""

    client: Redis
    redis: Redis
    scripts: Scripts
    claims: Claims
    queue: JobQueue
    log: EventLog
    workers: WorkerRegistry
    reaper: Reaper

    async def nodes(self) -> list[Node]:
        """Every server behind the client."""
        await self.client.nodes.find()
        return [self.client.nodes.client(address) for address in self.client.nodes.masters]

    async def live(self, worker_id: str, *, lasts_ms: int = 60_000, queues: tuple[str, ...] = (QUEUE,)) -> None:
        """Let a worker stand in the registry that shows no other sign of life."""
        about = {"host": "elsewhere", "pid": 1, "device": "cpu", "memory_bytes": 1, "running": 0, "started_at": 1}
        worker = msgspec.convert({"id": worker_id, "pool": Pool.GPU, "models": ("m",), "queues": queues, **about}, Worker)
        await self.workers.report(worker, lasts_ms)

    async def give(self, spec: JobSpec, worker_id: str) -> Claim:
        """Let a worker fetch the message that is first on a job's queue, which is the job's, and claim it."""
        (message,) = await self.queue.fetch(spec.queue, worker_id, 1)
        assert message.args == (spec.id,)
        claim = await self.claims.claim(spec.id, worker_id)
        assert claim
        return claim

    async def given(self, spec: JobSpec, worker_id: str) -> Claim:
        """Submit a job and give it to a worker."""
        await self.queue.submit(spec, BODY)
        return await self.give(spec, worker_id)

    async def bury(self, worker_id: str, queues: tuple[str, ...] = (QUEUE,)) -> list[str]:
        """Let a worker's time run out; what was taken from it."""
        await self.live(worker_id, lasts_ms=0, queues=queues)
        taken: list[str] = []

        async def gone() -> bool:
            taken.extend(await self.reaper.reap())
            return await self.redis.zscore("{workers}:alive", worker_id) is None

        await until(gone, "the dead worker is forgotten", timeout_s=15)
        return taken


@pytest.fixture
def jobs_url(redis_url: str) -> str:
    """The Redis of the ``backend``. Tests that are to run on a cluster, too, import ``any_jobs_url`` by this name."""
    return redis_url


@pytest.fixture(params=["one", "cluster"])
def any_jobs_url(request: pytest.FixtureRequest) -> str:
    return cast("str", request.getfixturevalue("redis_url" if request.param == "one" else "redis_cluster_url"))


@pytest.fixture
async def backend(jobs_url: str) -> AsyncIterator[JobBackend]:
    client = connect(jobs_url)
    log = EventLog(client)
    await log.start()
    scripts = Scripts(client)
    claims, queue, workers = Claims(scripts), JobQueue(scripts), WorkerRegistry(scripts)
    reaper = Reaper(claims=claims, queue=queue, workers=workers, lease_ms=LEASE_MS, place=Placement(log, workers).of)
    await client.nodes.find()
    looking: Any = RedisCluster.from_url(jobs_url) if client.nodes.owners else client
    yield JobBackend(client, looking, scripts, claims, queue, log, workers, reaper)
    await log.close()
    await looking.aclose()
    await client.aclose()


@pytest.fixture
def new_spec() -> Callable[[], JobSpec]:
    return new_reply


def new_reply(kind: str = "generate_reply", model: str = "m", **more: Any) -> JobSpec:
    """A job of an answer."""
    job_id = uuid.uuid4().hex
    payload = GenerationSpec(id=job_id, user_id="u", model=model, seed=1, created_at=1, **more)
    return JobSpec(
        id=job_id,
        kind=kind,
        queue=queue_of(kind, model),
        owner="u",
        created_at=1,
        payload=msgspec.Raw(msgspec.json.encode(payload)),
    )
