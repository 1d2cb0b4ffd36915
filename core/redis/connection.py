"""One connection to Redis whose answers cost no coroutine each.

redis-py makes it (address, TLS, login, database), then its bytes come here. A call costs a process a third of what it costs through
redis-py's own reading and writing.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Self, cast

import hiredis
import redis.asyncio
import redis.exceptions

Argument = str | bytes | int | float

AT_ONCE = 8

_NOT_YET = object()


def pack_command(*words: Argument) -> bytes:
    """A command as it is sent."""
    command: bytes = hiredis.pack_command(cast("Any", words))
    return command


class Connection(asyncio.Protocol):
    """``heard`` is called with each answer or published message, errors among them; ``lost`` once, when the connection is gone."""

    def __init__(self, pool: Any, connection: Any, heard: Callable[[Any], None], lost: Callable[[], None]) -> None:
        self._pool = pool
        self._connection = connection
        self._heard = heard
        self._lost = lost
        self._closed = False
        self._leaving: list[bytes] = []
        error = connection._parser.parse_error  # noqa: SLF001 - redis-py gives out neither this nor the transport
        self._reader = hiredis.Reader(protocolError=redis.exceptions.InvalidResponse, replyError=error, notEnoughData=_NOT_YET)
        self._transport: Any = connection._writer.transport  # noqa: SLF001
        self._former = self._transport.get_protocol()

    @classmethod
    async def open(cls, client: "redis.asyncio.Redis", heard: Callable[[Any], None], lost: Callable[[], None]) -> Self:
        """A connection out of the client's pool, whose ``aclose`` closes it too. Raises what redis-py raises."""
        pool = client.connection_pool
        connection: Any = await pool.get_connection()
        if connection._writer.transport.is_closing() or connection._reader.at_eof():  # noqa: SLF001 - that it is lost was told already
            await _release(pool, connection)
            message = "The connection was lost as soon as it was made."
            raise redis.exceptions.ConnectionError(message)
        wire = cls(pool, connection, heard, lost)
        wire._transport.set_protocol(wire)
        return wire

    def send(self, packed: bytes) -> None:
        """Send commands; those of one turn of the event loop travel AT_ONCE together: each writing costs a system call.

        Not all of a long turn's: Redis, and who waits for it, work on the first while the others are made.
        """
        if not self._leaving:
            asyncio.get_running_loop().call_soon(self._leave)
        self._leaving.append(packed)
        if len(self._leaving) == AT_ONCE:
            self._leave()

    def close(self) -> None:
        """Break the connection; what it was yet to say is not heard."""
        self._closed = True
        self._transport.abort()

    def _leave(self) -> None:
        leaving, self._leaving = self._leaving, []
        if leaving and not self._closed:
            self._transport.write(b"".join(leaving))

    def data_received(self, data: bytes) -> None:
        """Answers, whole or in parts."""
        self._reader.feed(data)
        while not self._closed and (answer := self._reader.gets()) is not _NOT_YET:
            self._heard(answer)

    def connection_lost(self, error: Exception | None) -> None:
        """Give the connection back to its pool, which makes a new one where the next is asked for."""
        self._closed = True
        self._former.connection_lost(error)
        released = asyncio.get_running_loop().create_task(_release(self._pool, self._connection))
        _releasing.add(released)
        released.add_done_callback(_releasing.discard)
        self._lost()


_releasing: set[asyncio.Task[None]] = set()


async def _release(pool: Any, connection: Any) -> None:
    with suppress(redis.exceptions.RedisError, OSError):
        await connection.disconnect(nowait=True)
        await pool.release(connection)
