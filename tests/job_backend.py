"""Claims, a queue and a log over a real Redis: fixtures for whoever names this module as a plugin."""

import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import msgspec
import pytest

from core.events import EventLog
from core.jobs.claims import Claims
from core.jobs.queue import JobQueue
from core.models.generations import JobSpec
from core.redis.client import Redis, Scripts, connect

LEASE_MS = 500


@dataclass
class JobBackend:
    """What a worker and a web process share."""

    redis: Redis
    broker: Redis
    claims: Claims
    queue: JobQueue
    log: EventLog


@pytest.fixture
async def backend(redis_url: str) -> AsyncIterator[JobBackend]:
    redis, broker = connect(redis_url), connect(redis_url, broker=True)
    log = EventLog(redis)
    await log.start()
    scripts = Scripts(redis)
    yield JobBackend(redis, broker, Claims(scripts, lease_ms=LEASE_MS), JobQueue(scripts, Scripts(broker)), log)
    await log.close()
    await redis.aclose()
    await broker.aclose()


@pytest.fixture
def new_spec() -> Callable[[], JobSpec]:
    def make() -> JobSpec:
        body = msgspec.Raw(b'{"model":"m","messages":[{"role":"user","content":"hi"}]}')
        return JobSpec(id=uuid.uuid4().hex, user_id="u", model="m", queue="gpu.generate", seed=1, created_at=1, body=body)

    return make
