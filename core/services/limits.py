"""How often a user may ask: one budget for all their tokens and keys, over a window that moves with every request."""

import itertools
import math
import uuid

import msgspec

from core.errors import RateLimited, Unavailable
from core.models.users import Principal
from core.storage.redis import Scripts

WINDOW_MS = 60_000

# A request is one member of a sorted set, scored by its time. Its name makes a repeated call harmless; the script makes racing ones wait for each other.
_TAKE = """
local time = redis.call('TIME'); local now = time[1] * 1000 + math.floor(time[2] / 1000)
local limit, window = tonumber(ARGV[1]), tonumber(ARGV[2])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - window)
local used, taken = redis.call('ZCARD', KEYS[1]), redis.call('ZSCORE', KEYS[1], ARGV[3]) and 1 or 0
if taken == 0 and used < limit then
  redis.call('ZADD', KEYS[1], now, ARGV[3])
  redis.call('PEXPIRE', KEYS[1], window)
  used, taken = used + 1, 1
end
local oldest = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')[2]
return {taken, limit - used, tonumber(oldest) + window, now}
"""


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """What is left after a request. ``resets_at``: Unix seconds when the next place becomes free; ``wait_s``: seconds until then."""

    allowed: bool
    limit: int
    remaining: int
    resets_at: int
    wait_s: int

    def refusal(self) -> RateLimited:
        """The error for a request that was not allowed."""
        message = f"You have made {self.limit} requests within a minute, which is the limit. Try again in {self.wait_s} seconds."
        return RateLimited(message, retry_after=self.wait_s)


class Limits:
    """The rate limit. Administrators have none."""

    def __init__(self, scripts: Scripts, *, per_minute: int) -> None:
        """``scripts``: of little patience, because a Redis that is away must not make every request wait; ``per_minute`` 0: no limit."""
        self._scripts = scripts
        self._per_minute = per_minute
        self._take = scripts.register(_TAKE)
        self._names = (f"{uuid.uuid4().hex[:12]}:{number}" for number in itertools.count())

    async def take(self, principal: Principal) -> Budget | None:
        """Use one place of a user's budget; None where no limit applies, and where Redis is away: then the limit is not what is missed most."""
        if principal.is_admin or not self._per_minute:
            return None
        try:
            answer = await self._scripts.run(self._take, (f"rate:{principal.id}",), (self._per_minute, WINDOW_MS, next(self._names)))
        except Unavailable:
            return None
        taken, remaining, resets_ms, now_ms = answer
        wait_s = max(1, math.ceil((resets_ms - now_ms) / 1000))
        return Budget(allowed=bool(taken), limit=self._per_minute, remaining=remaining, resets_at=math.ceil(resets_ms / 1000), wait_s=wait_s)
