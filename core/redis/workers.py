"""Which workers live. Each reports itself every second; one that has been silent for REPORT_TTL_MS is gone."""

import msgspec

from core.models.pools import Pool, Worker
from core.redis.client import Scripts

REPORT_TTL_MS = 5_000

_KEYS = ("workers", "workers:alive")
_NOW = "local time = redis.call('TIME'); local now = time[1] * 1000 + math.floor(time[2] / 1000)\n"
_REPORT = _NOW + "redis.call('HSET', KEYS[1], ARGV[1], ARGV[2]); redis.call('ZADD', KEYS[2], now + ARGV[3], ARGV[1]); return 1"
_LIST = (
    _NOW
    + """
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], 0, now)) do
  redis.call('HDEL', KEYS[1], id)
  redis.call('ZREM', KEYS[2], id)
end
return redis.call('HVALS', KEYS[1])
"""
)


class WorkerRegistry:
    """The registry of workers."""

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts
        self._report = scripts.register(_REPORT)
        self._list = scripts.register(_LIST)

    async def report(self, worker: Worker) -> None:
        """A worker says that it lives, and how it does."""
        await self._scripts.run(self._report, _KEYS, (worker.id, msgspec.json.encode(worker), REPORT_TTL_MS))

    async def leave(self, worker_id: str) -> None:
        """A worker goes on purpose."""
        await self._scripts.command("HDEL", _KEYS[0], worker_id)
        await self._scripts.command("ZREM", _KEYS[1], worker_id)

    async def list(self) -> list[Worker]:
        """The live workers, by pool, then by age."""
        found = [msgspec.json.decode(stored, type=Worker) for stored in await self._scripts.run(self._list, _KEYS)]
        return sorted(found, key=lambda worker: (worker.pool, worker.started_at, worker.id))

    async def has_live_worker(self, pool: Pool) -> bool:
        """Whether a pool has a live worker."""
        return any(worker.pool is pool for worker in await self.list())
