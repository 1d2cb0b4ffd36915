"""How often a user may ask: one budget for all their tokens and keys, over a window that moves with every request."""

import asyncio
import itertools
import math
import uuid

import msgspec

from core.errors import RateLimited, Unavailable
from core.models.users import Principal
from core.storage.redis import Scripts

WINDOW_MS = 60_000

# Every request is a member of a sorted set, scored by its time. Its name makes a repeated call harmless.
_TAKE = """
local time = redis.call('TIME'); local now = time[1] * 1000 + math.floor(time[2] / 1000)
local limit, window, count = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[4])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - window)
local used, taken = redis.call('ZCARD', KEYS[1]), 0
for place = 1, count do
  local name = ARGV[3] .. ':' .. place
  if redis.call('ZSCORE', KEYS[1], name) then
    taken = taken + 1
  elseif used < limit then
    redis.call('ZADD', KEYS[1], now, name)
    used, taken = used + 1, taken + 1
  end
end
redis.call('PEXPIRE', KEYS[1], window)
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
    """The rate limit. Administrators have none. Requests of one user that come together ask Redis together."""

    def __init__(self, scripts: Scripts, *, per_minute: int) -> None:
        """``scripts``: of little patience, because a Redis that is away must not make every request wait; ``per_minute`` 0: no limit."""
        self._scripts = scripts
        self._per_minute = per_minute
        self._script = scripts.register(_TAKE)
        self._process, self._numbers = uuid.uuid4().hex[:12], itertools.count()
        self._gathering: dict[str, list[asyncio.Future[Budget | None]]] = {}

    async def take(self, principal: Principal) -> Budget | None:
        """Use one place of a user's budget; None where no limit applies.

        Also None where Redis is away: then it is not the limit that is missed most.
        """
        if principal.is_admin or not self._per_minute:
            return None
        place: asyncio.Future[Budget | None] = asyncio.get_running_loop().create_future()
        gathered = self._gathering.get(principal.id)
        if gathered is not None:
            gathered.append(place)
            return await place
        self._gathering[principal.id] = gathered = [place]
        asyncio.get_running_loop().call_soon(self._send, principal.id, gathered)
        return await place

    def _send(self, user_id: str, places: list[asyncio.Future[Budget | None]]) -> None:
        del self._gathering[user_id]
        words = (self._per_minute, WINDOW_MS, f"{self._process}:{next(self._numbers)}", len(places))
        answer = self._scripts.ask(self._script, (f"rate:{user_id}",), words)
        answer.add_done_callback(lambda answer: self._settle(answer, places))

    def _settle(self, answer: "asyncio.Future[list[int]]", places: list[asyncio.Future[Budget | None]]) -> None:
        """The first ones are allowed, as far as the budget went."""
        error = asyncio.CancelledError() if answer.cancelled() else answer.exception()
        for index, place in enumerate(places):
            if place.done():
                continue
            if error is None:
                place.set_result(self._budget(answer.result(), index))
            elif isinstance(error, Unavailable):
                place.set_result(None)
            else:
                place.set_exception(error)

    def _budget(self, answer: list[int], index: int) -> Budget:
        taken, remaining, resets_ms, now_ms = answer
        return Budget(
            allowed=index < taken,
            limit=self._per_minute,
            remaining=remaining + max(0, taken - 1 - index),
            resets_at=math.ceil(resets_ms / 1000),
            wait_s=max(1, math.ceil((resets_ms - now_ms) / 1000)),
        )
