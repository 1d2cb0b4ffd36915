"""Connections to Redis, and calls of its scripts that share a round trip.

One server, two databases: the one that PENSTOCK_REDIS_URL names holds jobs, logs, leases and the registry; the next
one is Dramatiq's own, because its maintenance looks through all keys of a database.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Any

import redis.asyncio
import redis.exceptions
from redis.asyncio.connection import parse_url
from redis.commands.core import AsyncScript

from core.errors import SettingsError, Unavailable
from core.redis.connection import Argument, Connection, pack_command

MAX_CONNECTIONS = 32
POOL_TIMEOUT_S = 20
CONNECT_TIMEOUT_S = 5
HEALTH_CHECK_S = 15
ANSWER_TIMEOUT_S = 10
FIRST_PAUSE_S, MAX_PAUSE_S = 0.02, 0.5

Redis = redis.asyncio.Redis
RedisError = redis.exceptions.RedisError


def connection_options(url: str, *, broker: bool = False) -> dict[str, Any]:
    """Connection parameters of a URL; ``broker``: those of Dramatiq's database, the one after. Raises SettingsError."""
    try:
        found: dict[str, Any] = dict(parse_url(url))
    except ValueError as error:
        message = f"PENSTOCK_REDIS_URL cannot be read: {error}. Write redis://host:6379/0 or unix:///path/to/socket?db=0."
        raise SettingsError(message) from None
    found["db"] = int(found.get("db") or 0) + int(broker)
    return found


def connect(url: str, *, broker: bool = False) -> Redis:
    """A client with a bounded pool; nothing is sent yet. Answers are bytes."""
    pool = redis.asyncio.BlockingConnectionPool(
        max_connections=MAX_CONNECTIONS,
        timeout=POOL_TIMEOUT_S,
        health_check_interval=HEALTH_CHECK_S,
        socket_connect_timeout=CONNECT_TIMEOUT_S,
        **(connection_options(url, broker=broker) | {"protocol": 2}),  # RESP2: what is published comes as plain lists
    )
    return redis.asyncio.Redis.from_pool(pool)


class Scripts:
    """Calls of Lua scripts (and plain commands) on one database, through one connection that is never waited for.

    A call's answer is Redis's; its failure is raised to its caller alone. Calls reach Redis in the order in which they were made.
    A Redis that is away is tried again for ``patience_s`` seconds, so that a restart is a pause; then Unavailable. Every call must
    therefore be safe to repeat. A ``patience_s`` of 0 fails at once.
    """

    def __init__(self, redis: Redis, *, patience_s: float = 20.0) -> None:
        """The connection is made with the first call, and closed with ``redis``."""
        self._redis = redis
        self._patience_s = patience_s
        self._sources: list[bytes] = []
        self._wire: Connection | None = None
        self._sent: deque[_Call] = deque()
        self._waiting: list[_Call] = []
        self._connecting: asyncio.Task[None] | None = None
        self._watch: asyncio.TimerHandle | None = None
        self._refused = False

    def register(self, source: str) -> AsyncScript:
        """A script, to be named in ``run``."""
        load = pack_command("SCRIPT", "LOAD", source)
        self._sources.append(load)
        if self._wire:
            self._transmit(self._wire, _Call(load))
        return self._redis.register_script(source)

    async def run(self, script: AsyncScript, keys: Sequence[Argument] = (), args: Sequence[Argument] = ()) -> Any:
        """Run one script."""
        return await self.ask(script, keys, args)

    async def command(self, *words: Argument) -> Any:
        """Run one command."""
        return await self._call(words)

    def ask(self, script: AsyncScript, keys: Sequence[Argument] = (), args: Sequence[Argument] = ()) -> "asyncio.Future[Any]":
        """Run one script; its answer comes later."""
        return self._call(("EVALSHA", script.sha, len(keys), *keys, *args))

    def _call(self, words: tuple[Argument, ...]) -> "asyncio.Future[Any]":
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Any] = loop.create_future()
        call = _Call(pack_command(*words), answer, loop.time() + self._patience_s)
        if self._wire:
            self._transmit(self._wire, call)
        else:
            self._waiting.append(call)
            self._connect()
        return answer

    def _transmit(self, wire: Connection, call: "_Call") -> None:
        self._sent.append(call)
        wire.send(call.packed)
        if self._watch is None:
            self._watch = asyncio.get_running_loop().call_later(ANSWER_TIMEOUT_S, self._check, call)

    def _check(self, oldest: "_Call") -> None:
        """A Redis that has stopped to answer is left: there may be another one at its address."""
        self._watch = None
        if self._sent and self._sent[0] is oldest and self._wire:
            self._wire.close()
        elif self._sent:
            self._watch = asyncio.get_running_loop().call_later(ANSWER_TIMEOUT_S, self._check, self._sent[0])

    def _heard(self, answer: Any) -> None:
        if isinstance(answer, _AGAIN) and self._wire:
            self._refused = True
            self._wire.close()  # with the next one scripts are loaded, and all that was not answered is sent again, in order
            return
        self._sent.popleft().settle(answer)

    def _lost(self) -> None:
        self._wire = None
        self._waiting = [call for call in (*self._sent, *self._waiting) if call.wanted]
        self._sent.clear()
        if self._waiting:
            self._connect()

    def _connect(self) -> None:
        if self._connecting is None:
            self._connecting = asyncio.create_task(self._open())

    async def _open(self) -> None:
        """Until there is a connection, or nobody has the patience to wait for one."""
        pause = FIRST_PAUSE_S
        try:
            if self._refused:
                await asyncio.sleep(pause)
                self._give_up()
            while self._waiting and self._wire is None:
                try:
                    self._wire = await Connection.open(self._redis, self._heard, self._lost)
                except (RedisError, OSError):
                    self._give_up()
                    await asyncio.sleep(pause)
                    pause = min(pause * 2, MAX_PAUSE_S)
        except BaseException:
            for call in self._waiting:
                call.answer and call.answer.cancel()
            raise
        finally:
            self._connecting, self._refused = None, False
        if self._wire:
            waiting, self._waiting = self._waiting, []
            for call in (*map(_Call, self._sources), *waiting):
                self._transmit(self._wire, call)

    def _give_up(self) -> None:
        """On those who have waited long enough."""
        now = asyncio.get_running_loop().time()
        for call in self._waiting:
            if call.deadline <= now:
                call.settle(Unavailable("Redis cannot be reached. Try again in a moment."))
        self._waiting = [call for call in self._waiting if call.wanted]


_AGAIN = (redis.exceptions.NoScriptError, redis.exceptions.ConnectionError, redis.exceptions.ReadOnlyError)


class _Call:
    """One command, packed. One without an answer is sent by ourselves, and not repeated."""

    __slots__ = ("answer", "deadline", "packed")

    def __init__(self, packed: bytes, answer: "asyncio.Future[Any] | None" = None, deadline: float = 0) -> None:
        self.packed = packed
        self.answer = answer
        self.deadline = deadline

    @property
    def wanted(self) -> bool:
        """Whether somebody waits for it."""
        return self.answer is not None and not self.answer.done()

    def settle(self, value: Any) -> None:
        """Give the answer, or raise it, where it is waited for."""
        if self.answer is None or self.answer.done():
            return
        if isinstance(value, Exception):
            self.answer.set_exception(value)
        else:
            self.answer.set_result(value)
