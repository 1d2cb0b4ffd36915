"""Guessing passwords, slowed for each account and each address, without locking an owner out.

Every try is counted before the password is looked at, so tries that race are counted too; one that succeeds is taken back. An address from
which an account was once signed in to is not counted for that account: whoever guesses from elsewhere shuts only themself out.
"""

import asyncio
import hashlib
import math
import uuid
from contextlib import suppress

from core.errors import RateLimited, Unavailable
from core.redis.client import Scripts

WINDOW_MS = 15 * 60_000
MAX_PER_ACCOUNT = 10
MAX_PER_ADDRESS = 50
KNOWN_S = 30 * 86_400
PATIENCE_S = 2.0

# A try is a member of a sorted set, scored by its time. Its name makes a repeated call harmless.
_TRY = """
local time = redis.call('TIME'); local now = time[1] * 1000 + math.floor(time[2] / 1000)
local name, window = ARGV[1], tonumber(ARGV[2])
local function wait(key, limit)
  redis.call('ZREMRANGEBYSCORE', key, '-inf', now - window)
  if redis.call('ZSCORE', key, name) or redis.call('ZCARD', key) < tonumber(limit) then return 0 end
  return tonumber(redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')[2]) + window - now
end
local counted, longest = {}, 0
if redis.call('EXISTS', KEYS[3]) == 0 then counted[#counted + 1] = {KEYS[1], ARGV[3]} end
if ARGV[5] ~= '' then counted[#counted + 1] = {KEYS[2], ARGV[4]} end
for _, one in ipairs(counted) do longest = math.max(longest, wait(one[1], one[2])) end
if longest > 0 then return longest end
for _, one in ipairs(counted) do
  redis.call('ZADD', one[1], now, name)
  redis.call('PEXPIRE', one[1], window)
end
return 0
"""
_SUCCEED = """
redis.call('DEL', KEYS[1])
redis.call('ZREM', KEYS[2], ARGV[1])
if ARGV[3] ~= '' then redis.call('SET', KEYS[3], 1, 'EX', ARGV[2]) end
return 1
"""


class SignInAttempts:
    """The counting of tries. Where Redis is away, or hangs, nothing is counted: signing in must still be possible."""

    def __init__(self, scripts: Scripts) -> None:
        """``scripts``: of no patience."""
        self._scripts = scripts
        self._try, self._succeed = scripts.register(_TRY), scripts.register(_SUCCEED)

    async def begin(self, email: str, address: str) -> "SignInAttempt":
        """Count a try to sign in, from an address where that is known. Raises RateLimited, alike for addresses known and unknown."""
        one = SignInAttempt(self, email, address)
        try:
            async with asyncio.timeout(PATIENCE_S):
                wait_ms = await self._scripts.run(self._try, one.keys, (one.name, WINDOW_MS, MAX_PER_ACCOUNT, MAX_PER_ADDRESS, address))
        except (Unavailable, TimeoutError):
            return one
        if wait_ms:
            wait_s = max(1, math.ceil(wait_ms / 1000))
            message = f"Too many attempts to sign in. Try again in {wait_s} seconds."
            raise RateLimited(message, retry_after=wait_s)
        return one

    async def welcome(self, email: str, address: str) -> None:
        """A new account: the address that it comes from is known."""
        await self.succeed(SignInAttempt(self, email, address))

    async def succeed(self, one: "SignInAttempt") -> None:
        """It was no guess: the account's count begins anew, and the address is known from now on."""
        with suppress(Unavailable, TimeoutError):
            async with asyncio.timeout(PATIENCE_S):
                await self._scripts.run(self._succeed, one.keys, (one.name, KNOWN_S, one.address))


class SignInAttempt:
    """One try."""

    def __init__(self, sign_in_attempts: SignInAttempts, email: str, address: str) -> None:
        self._sign_in_attempts = sign_in_attempts
        self.address = address
        self.name = uuid.uuid4().hex
        account = hashlib.sha256(email.encode(errors="surrogatepass")).hexdigest()
        self.keys = tuple(f"{{guesses}}:{kind}" for kind in (f"account:{account}", f"address:{address}", f"known:{account}:{address}"))

    async def succeed(self) -> None:
        """The password was right."""
        await self._sign_in_attempts.succeed(self)
