"""Server-sent events. Source of the format: the HTML standard, section 9.2."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager, suppress

from aiohttp import web

from api.http.disconnects import ClientGone
from api.http.errors import report_bug
from api.http.keys import CONNECTIONS
from core.errors import PenstockError

KEEP_ALIVE_S = 15.0
LAST_S = 1.0
# Not followed by an empty line: after an id, OpenAI's clients take each of those for the end of an event, and find no data in it.
COMMENT = b": still here\n"
HEADERS = {"Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-store", "X-Accel-Buffering": "no"}


@asynccontextmanager
async def open_stream(
    request: web.Request, tell: Callable[[PenstockError], bytes], headers: Mapping[str, str] | None = None, *, comment: bytes = COMMENT
) -> AsyncGenerator["EventStream", None]:
    """A stream for as long as the block runs and the client is there (ClientGone otherwise).

    Headers wait for the first event, so that a failure before it is an HTTP error, but no longer than a tick; a failure after
    them is told inside the stream, in the words of ``tell``, and ends it. ``comment``: what shows that we live, between two events.
    """
    stream = EventStream(request, headers or {}, comment)
    try:
        try:
            async with request.app[CONNECTIONS].hold(request) as connection:
                connection.on_tick = stream.tick
                yield stream
        finally:
            await stream.quieten()
    except ClientGone:
        raise
    except Exception as error:
        if not stream.opened:
            raise
        told = tell(error if isinstance(error, PenstockError) else report_bug(error))
        stream.failure = error
        if told:
            await stream.write_last(told)


class EventStream:
    """What is written to one client; ``response`` is the handler's answer, ``failure`` what it ended with."""

    def __init__(self, request: web.Request, headers: Mapping[str, str], comment: bytes) -> None:
        """``headers``: beside those of every stream."""
        self.response = web.StreamResponse(headers={**HEADERS, **headers})
        self._request = request
        self._comment_of_life = comment
        self._loop = asyncio.get_running_loop()
        self.failure: Exception | None = None
        self._written_at = 0.0
        self._opening = asyncio.Lock()
        self._beat: asyncio.Task[None] | None = None

    @property
    def opened(self) -> bool:
        """Whether the headers are sent: from then on a failure must be told inside the stream."""
        return self.response.prepared

    async def write(self, data: bytes) -> None:
        """Send whole events. Raises ClientGone."""
        try:
            if not self.response.prepared:
                async with self._opening:
                    if not self.response.prepared:
                        await self.response.prepare(self._request)
            self._written_at = self._loop.time()
            await self.response.write(data)
        except ConnectionError:
            raise ClientGone from None

    async def write_last(self, data: bytes) -> None:
        """Send, but do not wait for a client that does not read: its connection is cut. Raises ClientGone."""
        try:
            async with asyncio.timeout(LAST_S):
                await self.write(data)
        except TimeoutError:
            if self._request.transport:
                self._request.transport.abort()
            raise ClientGone from None

    def tick(self) -> None:
        """Show that we live, where nothing else has for a while."""
        if self._loop.time() - self._written_at >= KEEP_ALIVE_S and (self._beat is None or self._beat.done()):
            self._beat = self._loop.create_task(self._comment())

    async def quieten(self) -> None:
        """No more signs of life."""
        if self._beat:
            self._beat.cancel()
            with suppress(asyncio.CancelledError):
                await self._beat

    async def _comment(self) -> None:
        with suppress(ClientGone):
            await self.write(self._comment_of_life)
