"""Which workers live. Each shows a sign of life several times a lease; one that has been silent for longer is dead.

What it held is then put back (core.jobs.reaper), and only after that it is forgotten. Times are Redis's own clock. A Redis whose memory is
full refuses what may need more; signs of life are among what it takes, because they remove something (that is never there) first.
"""

import msgspec

from core.models.pools import Pool, Worker
from core.redis.client import Scripts
from core.redis.keys import WORKERS, WORKERS_ALIVE, WORKERS_DRAINING

IDLE_MS = 5_000

_KEYS = (WORKERS, WORKERS_ALIVE)
_NOW = "local time = redis.call('TIME'); local now = time[1] * 1000 + math.floor(time[2] / 1000)\n"
_REPORT = (
    _NOW
    + """
redis.call('HDEL', KEYS[1], '')
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('ZADD', KEYS[2], now + ARGV[3], ARGV[1])
return 1
"""
)
_BEAT = (
    _NOW
    + """
redis.call('ZREM', KEYS[1], '')
local until_ms = redis.call('ZSCORE', KEYS[1], ARGV[1])
if not until_ms then return {0, 0} end
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
return {tonumber(until_ms) <= now and 1 or 2, redis.call('SISMEMBER', KEYS[2], ARGV[1])}
"""
)
_LIST = (
    _NOW
    + """
local found = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '(' .. now, '+inf')) do found[#found + 1] = redis.call('HGET', KEYS[1], id) end
return found
"""
)
_DEAD = (
    _NOW
    + """
local found = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], 0, now)) do
  found[#found + 1] = {redis.call('HGET', KEYS[1], id) or '', now - redis.call('ZSCORE', KEYS[2], id), id}
end
return found
"""
)
_FORGET = (
    _NOW
    + """
local until_ms = redis.call('ZSCORE', KEYS[2], ARGV[1])
if ARGV[2] == '1' and until_ms and tonumber(until_ms) > now then return 0 end
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('SREM', KEYS[3], ARGV[1])
return 1
"""
)
_INFO = "return redis.call('INFO', 'server')"


class Sign(msgspec.Struct, frozen=True):
    """What a sign of life is answered. ``known``: the registry has its report; ``in_time``: it came before the last one had run out."""

    known: bool
    in_time: bool
    draining: bool


class WorkerRegistry:
    """The registry of workers."""

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts
        register = scripts.register
        self._report, self._beat, self._list = register(_REPORT), register(_BEAT), register(_LIST)
        self._dead, self._forget, self._info = register(_DEAD), register(_FORGET), register(_INFO)

    async def report(self, worker: Worker, lasts_ms: int = IDLE_MS) -> None:
        """A worker says how it does; and that it lives, for so long."""
        await self._scripts.run(self._report, _KEYS, (worker.id, msgspec.json.encode(worker), lasts_ms))

    async def beat(self, worker_id: str, lasts_ms: int) -> Sign:
        """A worker says that it lives, for so long."""
        known, draining = await self._scripts.run(self._beat, (WORKERS_ALIVE, WORKERS_DRAINING), (worker_id, lasts_ms))
        return Sign(known=known > 0, in_time=known > 1, draining=bool(draining))

    async def drain(self, worker_id: str) -> None:
        """Have a worker take nothing more, for good. What it has in hand it ends as it does when its process is told to stop."""
        await self._scripts.command("SADD", WORKERS_DRAINING, worker_id)

    async def forget(self, worker_id: str, *, dead: bool = False) -> None:
        """A worker goes on purpose; or, where it still is ``dead``, all that it held is put back."""
        await self._scripts.run(self._forget, (*_KEYS, WORKERS_DRAINING), (worker_id, int(dead)))

    async def dead(self) -> list[tuple[Worker, int]]:
        """Workers that have been silent for too long, and for how many milliseconds more."""
        found = []
        for stored, since_ms, worker_id in await self._scripts.run(self._dead, _KEYS):
            if stored:
                found.append((msgspec.json.decode(stored, type=Worker), int(since_ms)))
            else:
                await self.forget(worker_id.decode())
        return found

    async def uptime_s(self) -> int:
        """For how long the Redis has run that has the registry."""
        info: bytes = await self._scripts.run(self._info, (WORKERS_ALIVE,))
        return next((int(line.partition(b":")[2]) for line in info.split() if line.startswith(b"uptime_in_seconds:")), 0)

    async def list(self) -> list[Worker]:
        """The live workers, by pool, then by age."""
        found = [msgspec.json.decode(stored, type=Worker) for stored in await self._scripts.run(self._list, _KEYS) if stored]
        return sorted(found, key=lambda worker: (worker.pool, worker.started_at, worker.id))

    async def has_live_worker(self, pool: Pool) -> bool:
        """Whether a pool has a live worker."""
        return any(worker.pool is pool for worker in await self.list())
