"""Who is in which chat's room, over all web processes.

A connection is there until it leaves, or until its process dies: each process says every RENEW_S that it lives, and one that has not for
LEASE_MS is dead. Whoever finds it so takes its connections away, and hears, once among all finders, which users are gone by that.
"""

import secrets
from collections.abc import AsyncGenerator, Iterable

from core.redis.client import Scripts

LEASE_MS = 8_000
RENEW_S = 2.0
PROCESSES = "{presence}:processes"
ID_BYTES = 6

# A room is a set of "<user> <process> <connection>". Beside it each process has the set of rooms that it has connections in, and all
# processes are in one sorted set, scored by when their lease ends.
_NOW = "local time = redis.call('TIME'); local now = time[1] * 1000 + math.floor(time[2] / 1000)\n"
_THERE = """
local function there(part)
  local found = {}
  for _, member in ipairs(redis.call('SMEMBERS', KEYS[1])) do found[string.match(member, part)] = true end
  return found
end
local USER, PROCESS = '^%S+', ' (%S+) '
"""
_RENEW = (
    _NOW
    + """
local ends = redis.call('ZSCORE', KEYS[1], ARGV[1])
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
if not ends or tonumber(ends) < now then return {0} end
return {1, unpack(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', '(' .. now))}
"""
)
_JOIN = (
    _NOW
    + _THERE
    + """
local known = there(USER)[ARGV[1]]
redis.call('SADD', KEYS[1], ARGV[1] .. ' ' .. ARGV[2] .. ' ' .. ARGV[3])
redis.call('SADD', KEYS[2], ARGV[4])
redis.call('ZADD', KEYS[3], 'NX', now + ARGV[5], ARGV[2])
local users = {}
for user in pairs(there(USER)) do users[#users + 1] = user end
return {known and 0 or 1, unpack(users)}
"""
)
_LEAVE = (
    _THERE
    + """
if redis.call('SREM', KEYS[1], ARGV[1] .. ' ' .. ARGV[2] .. ' ' .. ARGV[3]) == 0 then return 0 end
if not there(PROCESS)[ARGV[2]] then redis.call('SREM', KEYS[2], ARGV[4]) end
return there(USER)[ARGV[1]] and 0 or 1
"""
)
_EMPTY = (
    _NOW
    + _THERE
    + """
local ends = redis.call('ZSCORE', KEYS[3], ARGV[1])
if not ends or tonumber(ends) >= now then return {} end
redis.call('SREM', KEYS[2], ARGV[2])
local gone, left = {}, {}
for _, member in ipairs(redis.call('SMEMBERS', KEYS[1])) do
  local user, process = string.match(member, '^(%S+) (%S+) ')
  if process == ARGV[1] then
    redis.call('SREM', KEYS[1], member)
    gone[user] = true
  end
end
local here = there(USER)
for user in pairs(gone) do if not here[user] then left[#left + 1] = user end end
return left
"""
)
_FORGET = (
    _NOW
    + """
local ends = redis.call('ZSCORE', KEYS[2], ARGV[1])
if ends and tonumber(ends) < now and redis.call('EXISTS', KEYS[1]) == 0 then redis.call('ZREM', KEYS[2], ARGV[1]) end
"""
)


class Presence:
    """Rooms' members. A user counts once, however many connections they have."""

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts
        self._process = secrets.token_hex(ID_BYTES)
        self._renew, self._join, self._leave = scripts.register(_RENEW), scripts.register(_JOIN), scripts.register(_LEAVE)
        self._empty, self._forget = scripts.register(_EMPTY), scripts.register(_FORGET)

    async def renew(self) -> tuple[bool, list[str]]:
        """Say that this process lives: whether the others could know so until now, and which processes are dead.

        One that was late is to join with all its connections again. It names nobody dead: what kept it may have kept the others too.
        """
        known, *dead = await self._scripts.run(self._renew, (PROCESSES,), (self._process, LEASE_MS))
        return bool(known), _ids(dead)

    async def join(self, chat_id: str, user_id: str, connection: str) -> tuple[bool, list[str]]:
        """A connection comes in: whether its user was not there before, and all the users who are there now."""
        words = (user_id, self._process, connection, chat_id, LEASE_MS)
        first, *there = await self._scripts.run(self._join, (_room(chat_id), _rooms(self._process), PROCESSES), words)
        return bool(first), sorted(_ids(there))

    async def leave(self, chat_id: str, user_id: str, connection: str) -> bool:
        """A connection goes out: whether its user is gone by that."""
        words = (user_id, self._process, connection, chat_id)
        return bool(await self._scripts.run(self._leave, (_room(chat_id), _rooms(self._process)), words))

    async def bury(self, process: str) -> AsyncGenerator[tuple[str, list[str]], None]:
        """Take the connections of a dead process away: by chat, the users who are gone by that. Nothing where it lives after all."""
        for chat_id in _ids(await self._scripts.command("SMEMBERS", _rooms(process))):
            keys = (_room(chat_id), _rooms(process), PROCESSES)
            gone = _ids(await self._scripts.run(self._empty, keys, (process, chat_id)))
            if gone:
                yield chat_id, gone
        await self._scripts.run(self._forget, (_rooms(process), PROCESSES), (process,))


def _room(chat_id: str) -> str:
    return f"{{presence}}:room:{chat_id}"


def _rooms(process: str) -> str:
    return f"{{presence}}:process:{process}"


def _ids(found: Iterable[bytes]) -> list[str]:
    return [name.decode() for name in found]
