"""Who is in which chat's room, over all web processes.

A connection is there for as long as its process says so; one whose process died runs out.
"""

from collections.abc import Iterable

from core.storage.redis import Scripts

KEPT_MS = 45_000

# A room is a sorted set: "<user> <connection>", scored by when it runs out. What ran out is taken away by whoever looks next,
# who then tells the others.
_SWEEP = """
local time = redis.call('TIME'); local now = time[1] * 1000 + math.floor(time[2] / 1000)
local gone, left = {}, {}
for _, member in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now)) do
  redis.call('ZREM', KEYS[1], member)
  gone[string.match(member, '^%S+')] = true
end
local function is_in(user)
  local start = user .. ' '
  for _, member in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
    if string.sub(member, 1, #start) == start then return true end
  end
  return false
end
"""
_JOIN = (
    _SWEEP
    + """
local known = is_in(ARGV[1]) or gone[ARGV[1]]
gone[ARGV[1]] = nil
redis.call('ZADD', KEYS[1], now + ARGV[3], ARGV[1] .. ' ' .. ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
for user in pairs(gone) do if not is_in(user) then left[#left + 1] = user end end
return {known and 0 or 1, left}
"""
)
_LEAVE = (
    _SWEEP
    + """
if redis.call('ZREM', KEYS[1], ARGV[1] .. ' ' .. ARGV[2]) == 1 then gone[ARGV[1]] = true end
for user in pairs(gone) do if not is_in(user) then left[#left + 1] = user end end
return left
"""
)
_RENEW = (
    _SWEEP
    + """
for i = 2, #ARGV do
  redis.call('ZADD', KEYS[1], now + ARGV[1], ARGV[i])
  gone[string.match(ARGV[i], '^%S+')] = nil
end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
for user in pairs(gone) do if not is_in(user) then left[#left + 1] = user end end
return left
"""
)


class Presence:
    """Rooms' members. A user counts once, however many connections they have."""

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts
        self._join, self._leave, self._renew = scripts.register(_JOIN), scripts.register(_LEAVE), scripts.register(_RENEW)

    async def join(self, chat_id: str, user_id: str, connection: str) -> tuple[bool, list[str]]:
        """A connection comes in: whether its user was not there before, and the users found to be gone."""
        first, left = await self._scripts.run(self._join, (_key(chat_id),), (user_id, connection, KEPT_MS))
        return bool(first), _ids(left)

    async def leave(self, chat_id: str, user_id: str, connection: str) -> list[str]:
        """A connection goes out: the users who are gone now, perhaps this one among them."""
        return _ids(await self._scripts.run(self._leave, (_key(chat_id),), (user_id, connection)))

    async def renew(self, chat_id: str, members: Iterable[tuple[str, str]]) -> list[str]:
        """These (user, connection) pairs are still there; to be said well within KEPT_MS. The users found to be gone."""
        words = [f"{user_id} {connection}" for user_id, connection in members]
        return _ids(await self._scripts.run(self._renew, (_key(chat_id),), (KEPT_MS, *words)))


def _key(chat_id: str) -> str:
    return f"room:{chat_id}"


def _ids(found: Iterable[bytes]) -> list[str]:
    return [user_id.decode() for user_id in found]
