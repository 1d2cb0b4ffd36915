"""Clients that wait for an answer: each is let go of when it goes away or may wait no longer, and all of them when the process stops."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractContextManager, asynccontextmanager

from aiohttp import web

from core.errors import Unavailable

TICK_S = 1.0


EndOnRevocation = Callable[[web.Request, Callable[[Exception], None]], AbstractContextManager[None]]


class ClientGone(Exception):
    """The client closed its connection: there is nobody to answer."""


class GoingAway(Unavailable):
    """The process stops; what is being made goes on without it."""

    def __init__(self) -> None:
        super().__init__(
            "The server is restarting. The answer goes on: listen to it again with the id that you have, or ask again.", retry_after=1
        )


class Connection:
    """One client that waits. ``on_tick`` is called every TICK_S, so that it can be shown some life."""

    def __init__(self, request: web.BaseRequest, scope: asyncio.Timeout) -> None:
        self.on_tick: Callable[[], None] | None = None
        self.reason: Exception | None = None
        self._over = False
        self._request = request
        self._scope = scope
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(TICK_S, self._tick)

    def end(self, reason: Exception) -> None:
        """End the waiting block with an error, soon; one that is over stays as it is."""
        if self.reason is None and not self._over and not self._scope.expired():
            self.reason = reason
            self._scope.reschedule(self._loop.time())

    def close(self) -> None:
        """The waiting is over."""
        self._over = True
        self._timer.cancel()

    def _tick(self) -> None:
        transport = self._request.transport
        if transport is None or transport.is_closing():
            self.end(ClientGone())
            return
        if self.on_tick:
            self.on_tick()
        self._timer = self._loop.call_later(TICK_S, self._tick)


class Connections:
    """All of a process."""

    def __init__(self, end_on_revocation: EndOnRevocation) -> None:
        """``end_on_revocation(request, end)``: while its block runs, ``end`` is called with why the client may wait no longer."""
        self._end_on_revocation = end_on_revocation
        self._waiting: set[Connection] = set()

    @asynccontextmanager
    async def hold(self, request: web.Request) -> AsyncGenerator[Connection, None]:
        """Wait on behalf of a client.

        The block ends with ClientGone within TICK_S of the client's leaving, with Unauthenticated or Forbidden when its token is no longer
        good for this, with GoingAway when the process stops.
        """
        connection = None
        try:
            async with asyncio.timeout(None) as scope:
                connection = Connection(request, scope)
                self._waiting.add(connection)
                with self._end_on_revocation(request, connection.end):
                    yield connection
        except TimeoutError:
            if connection and connection.reason:
                raise connection.reason from None
            raise
        finally:
            if connection:
                connection.close()
                self._waiting.discard(connection)

    async def close(self, _app: web.Application | None = None) -> None:
        """For ``on_shutdown``."""
        for connection in list(self._waiting):
            connection.end(GoingAway())
