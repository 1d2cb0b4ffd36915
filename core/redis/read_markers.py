"""Which messages of a chat a client has been given: only these may it leave out. docs/decisions/0006 says why.

A client is a session (one token or key) of a user. Of each chat Redis keeps, for a week, the moment up to which a client has been given
everything, and the messages stored after it that the client was given or sent itself.
"""

import asyncio
import time
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from core.errors import PenstockError
from core.models.chats import Message
from core.models.users import Principal
from core.redis.client import Scripts

KEPT_MS = 7 * 24 * 3_600_000
MARGIN_US = 60_000_000  # what a writer began within the last minute may be on its way to the store, and clocks differ
NAMED_AT_MOST = 200
REMEMBERED = 10_000
REMEMBERED_S = 3_600

# A sorted set: messages, as "=<id>", scored by when they were stored, and EVERYTHING, scored by the moment up to which all were given.
EVERYTHING = "*"
_NOTE = """
local edge = tonumber(ARGV[2])
if edge > 0 then
  redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ARGV[2])
  redis.call('ZADD', KEYS[1], 'GT', ARGV[2], '*')
end
for place = 3, #ARGV, 2 do redis.call('ZADD', KEYS[1], ARGV[place + 1], ARGV[place]) end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return 1
"""
_READ = "return redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')"


class ReadMarkers:
    """What is noted is sent at once and never waited for. Where Redis is away, nobody has been given anything."""

    def __init__(self, scripts: Scripts) -> None:
        """``scripts``: of no patience."""
        self._scripts = scripts
        self._note, self._read = scripts.register(_NOTE), scripts.register(_READ)
        self._under_way: set[asyncio.Future[Any]] = set()
        self._noted: dict[str, tuple[int, int, float]] = {}

    def note_delivered(self, principal: Principal, chat_id: str, given: "DeliveredMessages") -> None:
        """A client was given all messages of a chat."""
        if not given.count:
            return
        key, now = _key(principal, chat_id), time.monotonic()
        known = self._noted.get(key)
        if known and known[:2] == (given.newest, given.count) and now < known[2] + REMEMBERED_S:
            return
        if len(self._noted) >= REMEMBERED:
            del self._noted[next(iter(self._noted))]
        self._noted[key] = (given.newest, given.count, now)
        self._send(key, given.edge, given.recent)

    def note_sent(self, principal: Principal, chat_id: str, messages: Sequence[Message]) -> None:
        """A client sent these messages itself. Of many only the newer ones are noted."""
        edge = 0 if len(messages) <= NAMED_AT_MOST else time.time_ns() // 1000 - MARGIN_US
        self._send(_key(principal, chat_id), 0, [message for message in messages if message.stored > edge])

    def find_seen(self, principal: Principal, chat_id: str) -> "SeenMessages":
        """What a client has been given until now. It is asked for now, whenever the answer is looked at."""
        return SeenMessages(self._asked(self._read, (_key(principal, chat_id),)))

    async def close(self) -> None:
        """Wait for what is under way, which is not long."""
        if self._under_way:
            await asyncio.wait(self._under_way)

    def _send(self, key: str, edge: int, messages: Iterable[Message]) -> None:
        named = [word for message in messages for word in (f"={message.id}", message.stored)]
        self._asked(self._note, (key,), (KEPT_MS, edge, *named))

    def _asked(self, script: Any, keys: tuple[str, ...], args: tuple[str | int, ...] = ()) -> asyncio.Future[Any]:
        """An answer that nobody need look at."""
        answer = self._scripts.ask(script, keys, args)
        self._under_way.add(answer)
        answer.add_done_callback(self._arrived)
        return answer

    def _arrived(self, answer: asyncio.Future[Any]) -> None:
        self._under_way.discard(answer)
        answer.cancelled() or answer.exception()


class DeliveredMessages(msgspec.Struct, frozen=True):
    """All messages of a chat at a moment: everything stored up to ``edge``, in microseconds since 1970, and the ``recent`` ones since."""

    newest: int
    count: int
    edge: int
    recent: tuple[Message, ...]

    @classmethod
    def of(cls, messages: Sequence[Message], since: int) -> "DeliveredMessages":
        """``messages``: read from the store after ``since``."""
        edge = since - MARGIN_US
        recent = tuple(message for message in messages if message.stored > edge)
        return cls(messages[-1].stored if messages else 0, len(messages), edge, recent)


class SeenMessages:
    """What a client had been given at a moment."""

    def __init__(self, answer: asyncio.Future[Any]) -> None:
        self._answer = answer

    async def unseen(self, messages: Sequence[Message]) -> list[Message]:
        """Those of some messages that the client had not been given."""
        try:
            found = await self._answer
        except PenstockError:
            return list(messages)
        scores = dict(zip(found[::2], map(float, found[1::2]), strict=True))
        edge = scores.pop(EVERYTHING.encode(), 0.0)
        return (
            [message for message in messages if message.stored > edge and f"={message.id}".encode() not in scores]
            if found
            else list(messages)
        )


def _key(principal: Principal, chat_id: str) -> str:
    return f"shown:{chat_id}:{principal.client}"
