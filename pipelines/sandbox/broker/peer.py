"""One end of an exchange, as HTTP."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import h11

from core.errors import PenstockError

READ_BYTES = 65_536
HEAD_BYTES = 32_768
LINGER_S = 1.0

Event = Any
"""One of h11's; it has no type for all of them."""


class Peer:
    """Events of HTTP from and to its streams. ``broken``: what is raised where it does not speak HTTP, or ends too early.

    ``received``, ``sent``: told of each piece of bytes, the latter before it goes.
    """

    def __init__(
        self,
        role: Any,
        streams: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        broken: PenstockError,
        received: Callable[[int], None] = lambda _: None,
        sent: Callable[[int], None] = lambda _: None,
    ) -> None:
        self.http = h11.Connection(role, max_incomplete_event_size=HEAD_BYTES)
        self._reader, self._writer = streams
        self._broken = broken
        self._received = received
        self._sent = sent

    async def next(self) -> Event:
        """The next event. Raises what was told for something else than HTTP, and for an end before the head."""
        try:
            while (event := self.http.next_event()) is h11.NEED_DATA:
                if self.http.they_are_waiting_for_100_continue:
                    await self.send(h11.InformationalResponse(status_code=100, headers=[]))
                self.http.receive_data(await self.read())
        except (h11.RemoteProtocolError, OSError) as error:
            raise self._broken from error
        if isinstance(event, h11.ConnectionClosed):
            raise self._broken
        return event

    async def send(self, event: Event) -> None:
        """Raises OSError where it has gone, and what was told where this is no answer to what it has said."""
        try:
            content = self.http.send(event)
        except h11.LocalProtocolError as error:
            raise self._broken from error
        await self.write(content or b"")

    async def read(self) -> bytes:
        """Plain bytes; none at the end."""
        content = await self._reader.read(READ_BYTES)
        self._received(len(content))
        return content

    async def write(self, content: bytes) -> None:
        """Plain bytes."""
        self._sent(len(content))
        self._writer.write(content)
        await self._writer.drain()

    def write_end(self) -> None:
        """There will be no more bytes."""
        if self._writer.can_write_eof():
            with suppress(OSError):
                self._writer.write_eof()

    async def finish(self) -> None:
        """Let what was written arrive: what is closed with something unread is cut off."""
        self.write_end()
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(LINGER_S):
                while await self._reader.read(READ_BYTES):
                    pass

    def abort(self) -> None:
        """Close it at once."""
        self._writer.transport.abort()
