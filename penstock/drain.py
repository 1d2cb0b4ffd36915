"""Has one worker take nothing more and leave, wherever it runs."""

import asyncio
import time
from collections.abc import Callable

from core.errors import NotFound
from core.models.pools import Worker
from core.redis.client import Scripts, connect
from core.redis.workers import WorkerRegistry
from core.settings import Settings
from penstock.standalone import with_redis

LOOK_S = 0.2
MORE_S = 5.0  # beyond PENSTOCK_DRAIN_S: to be told, and to go


def drain(settings: Settings, pid: int, host: str, say: Callable[[str], object]) -> bool:
    """Whether the worker is gone: it has handed back what another can go on with, and finished the rest. It is not started again.

    Raises SettingsError where no Redis is known, Unavailable where it cannot be reached, NotFound for a worker that is not alive.
    """
    return asyncio.run(_drain(settings, pid, host, say))


async def _drain(settings: Settings, pid: int, host: str, say: Callable[[str], object]) -> bool:
    redis = connect(with_redis(settings).redis_url)
    try:
        registry = WorkerRegistry(Scripts(redis, patience_s=0))
        worker = _find(await registry.list(), pid, host)
        await registry.drain(worker.id)
        say(f"The {worker.pool} worker {pid} on {host} takes nothing more.")
        until = time.monotonic() + settings.drain_s + MORE_S
        while time.monotonic() < until:
            left = next((one for one in await registry.list() if one.id == worker.id), None)
            if left is None:
                say("It has left.")
                return True
            await asyncio.sleep(LOOK_S)
        say("It still has jobs in hand, and leaves when they have ended: `penstock status` shows it until then.")
        return False
    finally:
        await redis.aclose()


def _find(workers: list[Worker], pid: int, host: str) -> Worker:
    found = [worker for worker in workers if (worker.pid, worker.host) == (pid, host)]
    if not found:
        alive = ", ".join(f"{worker.pool} {worker.pid} on {worker.host}" for worker in workers) or "none"
        message = f"No worker with process id {pid} is alive on {host}. Alive: {alive}."
        raise NotFound(message)
    return found[0]
