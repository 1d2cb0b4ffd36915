"""Connections to Redis, and calls of its scripts that share a round trip.

One server, two databases: the one that PENSTOCK_REDIS_URL names holds jobs, logs, leases and the registry; the next
one is Dramatiq's own, because its maintenance looks through all keys of a database.
"""

import asyncio
import math
from collections.abc import Sequence
from typing import Any, cast

import redis.asyncio
import redis.exceptions
from hiredis import pack_command
from redis.asyncio.connection import parse_url
from redis.commands.core import AsyncScript

from core.errors import SettingsError, Unavailable

MAX_CONNECTIONS = 32
POOL_TIMEOUT_S = 20
CONNECT_TIMEOUT_S = 5
HEALTH_CHECK_S = 15
ANSWER_TIMEOUT_S = 10

Redis = redis.asyncio.Redis
RedisError = redis.exceptions.RedisError
Argument = str | bytes | int | float


def options(url: str, *, broker: bool = False) -> dict[str, Any]:
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
        **options(url, broker=broker),
    )
    return redis.asyncio.Redis.from_pool(pool)


class Scripts:
    """Calls of Lua scripts (and plain commands) on one database.

    All that is asked for in one turn of the event loop travels in one pipeline.

    A call's answer is Redis's; its failure is raised to its caller alone. A Redis that is away is tried again for
    ``patience_s`` seconds, so that a restart is a pause; then Unavailable. Every call must therefore be safe to
    repeat. A ``patience_s`` of 0 fails at once.
    """

    def __init__(self, redis: Redis, *, patience_s: float = 20.0) -> None:
        self._redis = redis
        self._patience_s = patience_s
        self._waiting: list[_Call] = []
        self._sender: asyncio.Task[None] | None = None

    def register(self, source: str) -> AsyncScript:
        """A script, to be named in ``run``."""
        return self._redis.register_script(source)

    async def run(self, script: AsyncScript, keys: Sequence[Argument] = (), args: Sequence[Argument] = ()) -> Any:
        """Run one script."""
        return await self.ask(script, keys, args)

    async def command(self, *words: Argument) -> Any:
        """Run one command."""
        return await self._enqueue(words, None)

    def ask(self, script: AsyncScript, keys: Sequence[Argument] = (), args: Sequence[Argument] = ()) -> "asyncio.Future[Any]":
        """Run one script; its answer comes later."""
        return self._enqueue(("EVALSHA", script.sha, len(keys), *keys, *args), script)

    def _enqueue(self, words: tuple[Argument, ...], script: AsyncScript | None) -> "asyncio.Future[Any]":
        call = _Call(words, script, asyncio.get_running_loop().create_future())
        self._waiting.append(call)
        if self._sender is None:
            self._sender = asyncio.create_task(self._send())
        return call.answer

    async def _send(self) -> None:
        """Send what waits, until nothing does: while one pipeline is under way the next one gathers."""
        try:
            while self._waiting:
                batch, self._waiting = self._waiting, []
                await self._deliver(batch)
        finally:
            self._sender = None

    async def _deliver(self, batch: list["_Call"]) -> None:
        deadline = asyncio.get_running_loop().time() + self._patience_s
        pause = 0.02
        while batch:
            try:
                batch = await self._attempt(batch)
            except (RedisError, OSError) as error:
                if asyncio.get_running_loop().time() > deadline:
                    self._fail(batch, error)
                    return
                await asyncio.sleep(pause)
                pause = min(pause * 2, 0.5)
            except BaseException as error:
                self._fail(batch, error)
                raise

    async def _attempt(self, batch: list["_Call"]) -> list["_Call"]:
        """One pipeline; what must be sent again is returned."""
        answers = await self._exchange(b"".join([pack_command(cast("Any", call.words)) for call in batch]), len(batch))
        for index, (call, answer) in enumerate(zip(batch, answers, strict=True)):
            if isinstance(answer, redis.exceptions.NoScriptError) and call.script:
                await self._redis.script_load(call.script.script)
                return batch[index:]  # with those behind it, because calls are made in an order that matters
            if isinstance(answer, redis.exceptions.BusyLoadingError):
                raise answer
            if not call.answer.done():
                _settle(call.answer, answer)
        return []

    async def _exchange(self, packed: bytes, count: int) -> list[Any]:
        """Send commands and read their answers, errors among them. redis-py's own pipeline costs four times as much a command."""
        pool = self._redis.connection_pool
        connection: Any = await pool.get_connection()
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                await connection.send_packed_command(packed, check_health=False)
                return [await _answer(connection) for _ in range(count)]
        except TimeoutError:
            message = f"no answer within {ANSWER_TIMEOUT_S} seconds"
            raise redis.exceptions.TimeoutError(message) from None
        finally:
            await pool.release(connection)

    @staticmethod
    def _fail(batch: list["_Call"], error: BaseException) -> None:
        for call in batch:
            if not call.answer.done():
                call.answer.set_exception(
                    Unavailable("Redis cannot be reached. Try again in a moment.") if isinstance(error, Exception) else error
                )


class _Call:
    __slots__ = ("answer", "script", "words")

    def __init__(self, words: tuple[Argument, ...], script: AsyncScript | None, answer: "asyncio.Future[Any]") -> None:
        self.words = words
        self.script = script
        self.answer = answer


async def _answer(connection: Any) -> Any:
    """A connection closes itself where this is cancelled in the middle."""
    try:
        return await connection.read_response(timeout=math.inf)
    except redis.exceptions.ResponseError as error:
        return error


def _settle(answer: "asyncio.Future[Any]", value: Any) -> None:
    if isinstance(value, Exception):
        answer.set_exception(value)
    else:
        answer.set_result(value)
