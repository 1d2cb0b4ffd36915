"""How often a user may ask: one budget for all their tokens and keys, over a window that moves with every request; and one for uploads.

A script of our own, and not the library `limits`: it takes several places in one call, so that requests that come together cost one.
"""

import asyncio
import itertools
import math
import time
import uuid
from collections.abc import Callable

import msgspec

from core.errors import RateLimited, Unavailable
from core.models.configs import RateLimits
from core.models.users import Principal
from core.redis.client import Scripts

WINDOW_MS = 60_000
PATIENCE_S = 2.0

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
local next = math.max(0, used - limit)
local oldest = redis.call('ZRANGE', KEYS[1], next, next, 'WITHSCORES')[2]
return {taken, math.max(0, limit - used), tonumber(oldest) + window, now}
"""


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """What is left after a request. ``resets_at``: Unix seconds when the next place becomes free; ``wait_s``: seconds until then.

    ``counted``: whose what, in words: "You have made {} requests".
    """

    allowed: bool
    limit: int
    remaining: int
    resets_at: int
    wait_s: int
    counted: str

    def refusal(self) -> RateLimited:
        """The error for a request that was not allowed."""
        message = f"{self.counted.format(self.limit)} within a minute, which is the limit. Try again in {self.wait_s} seconds."
        return RateLimited(message, retry_after=self.wait_s)


class RateLimiter:
    """The rate limits. Requests of one user that come together ask Redis together."""

    def __init__(self, scripts: Scripts, rules: Callable[[], RateLimits]) -> None:
        """``scripts``: of little patience, because a Redis that is away must not make every request wait; ``rules``: those in force now."""
        self._scripts = scripts
        self._rules = rules
        self._script = scripts.register(_TAKE)
        self._process, self._numbers = uuid.uuid4().hex[:12], itertools.count()
        self._gathering: dict[str, list[_Place]] = {}
        self._asked: dict[asyncio.Future[list[int]], list[_Place]] = {}
        self._watch: asyncio.TimerHandle | None = None
        self._silent = False

    async def take(self, principal: Principal) -> Budget | None:
        """Use one place of a user's budget; None where there is no limit.

        Nothing is counted, and the budget is whole, of administrators who are free; and of anybody where Redis is away or says nothing for
        PATIENCE_S: then it is not the limit that is missed most.
        """
        return await self._take_of(principal, principal.id, self._rules().requests_per_minute, "You have made {} requests")

    async def take_upload(self, principal: Principal) -> Budget | None:
        """The same of a user's budget of uploads. Who sends many files has their other requests left."""
        return await self._take_of(principal, f"uploads:{principal.id}", self._rules().uploads_per_minute, "You have sent {} files")

    async def take_anonymous(self, address: str) -> Budget | None:
        """Use one place of an address's budget, for a request without a user; None where there is no limit."""
        limit = self._rules().anonymous_requests_per_minute
        return await self._take(f"address:{address}", limit, "Your address has made {} requests") if limit else None

    async def _take_of(self, principal: Principal, owner: str, limit: int | None, counted: str) -> Budget | None:
        if limit is None:
            return None
        if principal.is_admin and not self._rules().admins_limited:
            return _whole(limit)
        return await self._take(owner, limit, counted)

    async def _take(self, owner: str, limit: int, counted: str) -> Budget:
        place: _Place = asyncio.get_running_loop().create_future()
        gathered = self._gathering.get(owner)
        if gathered is None:
            self._gathering[owner] = gathered = []
            asyncio.get_running_loop().call_soon(self._send, owner, limit)
        gathered.append(place)
        taken = await place
        return _whole(limit) if taken is None else _budget(*taken, limit, counted)

    def _send(self, owner: str, limit: int) -> None:
        places = self._gathering.pop(owner)
        if self._silent and self._asked:  # the answer to one question tells when it is back
            _let_go(places)
            return
        words = (limit, WINDOW_MS, f"{self._process}:{next(self._numbers)}", len(places))
        answer = self._scripts.ask(self._script, (f"rate:{owner}",), words)
        self._asked[answer] = places
        answer.add_done_callback(self._answered)
        if self._watch is None:
            self._watch = asyncio.get_running_loop().call_later(PATIENCE_S, self._look, answer)

    def _answered(self, answer: asyncio.Future[list[int]]) -> None:
        self._silent = self._silent and (answer.cancelled() or answer.exception() is not None)
        _settle(answer, self._asked.pop(answer))

    def _look(self, oldest: asyncio.Future[list[int]]) -> None:
        """Whether Redis says anything: one that hangs must not make every request hang."""
        self._watch = None
        if oldest in self._asked and not oldest.done():
            self._silent = True
            for answer, places in self._asked.items():
                if not answer.done():
                    _let_go(places)
        elif self._asked:
            self._watch = asyncio.get_running_loop().call_later(PATIENCE_S, self._look, next(iter(self._asked)))


_Place = asyncio.Future[tuple[list[int], int] | None]


def _let_go(places: list[_Place]) -> None:
    """Nobody knows how many are left."""
    for place in places:
        if not place.done():
            place.set_result(None)


def _settle(answer: asyncio.Future[list[int]], places: list[_Place]) -> None:
    """The first ones are allowed, as far as the budget went."""
    error = asyncio.CancelledError() if answer.cancelled() else answer.exception()
    for index, place in enumerate(places):
        if place.done():
            continue
        if error is None:
            place.set_result((answer.result(), index))
        elif isinstance(error, Unavailable):
            place.set_result(None)
        else:
            place.set_exception(error)


def _budget(answer: list[int], index: int, limit: int, counted: str) -> Budget:
    taken, remaining, resets_ms, now_ms = answer
    return Budget(
        allowed=index < taken,
        limit=limit,
        remaining=remaining + max(0, taken - 1 - index),
        resets_at=math.ceil(resets_ms / 1000),
        wait_s=max(1, math.ceil((resets_ms - now_ms) / 1000)),
        counted=counted,
    )


def _whole(limit: int) -> Budget:
    resets_at = int(time.time()) + WINDOW_MS // 1000
    return Budget(allowed=True, limit=limit, remaining=limit, resets_at=resets_at, wait_s=0, counted="")
