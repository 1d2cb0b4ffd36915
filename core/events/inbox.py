"""What one listener has not yet taken."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

ENTRIES = 256


class Inbox:
    """What one reader has not yet taken: bounded; on overflow it is emptied and the reader goes back to the stream."""

    __slots__ = ("confirmed", "decode", "gap", "items", "waiter")

    def __init__(self, decode: Callable[[bytes], Any]) -> None:
        self.decode = decode
        self.items: deque[Any] = deque()
        self.gap = False
        self.confirmed = asyncio.Event()
        self.waiter: asyncio.Future[None] | None = None

    def confirm(self) -> None:
        """Subscribed, or subscribed again after a break: then something may have been missed."""
        if self.confirmed.is_set():
            self.mark()
        self.confirmed.set()

    def mark(self) -> None:
        """Something may have been missed: the stream is to be read again."""
        self.gap = True
        self._wake()

    def put(self, item: Any) -> None:
        """One more."""
        if len(self.items) >= ENTRIES:
            self.items.clear()
            self.gap = True  # as after a break: the stream has it all
        else:
            self.items.append(item)
        self._wake()

    async def next(self, silence_s: float | None) -> Any:
        """The next item; None after ``silence_s`` seconds of silence, or at a gap."""
        if not self.items and not self.gap:
            loop = asyncio.get_running_loop()
            self.waiter = loop.create_future()
            timer = loop.call_later(silence_s, self._wake) if silence_s else None
            try:
                await self.waiter
            finally:
                self.waiter = None
                if timer:
                    timer.cancel()
        return self.items.popleft() if self.items and not self.gap else None

    def _wake(self) -> None:
        if self.waiter and not self.waiter.done():
            self.waiter.set_result(None)
