"""What is not sent for now."""

import asyncio
from collections import deque
from collections.abc import Iterator

from core.redis.pipeline import Call
from core.redis.refusals import explain_absence


class HeldCalls:
    """The calls of a slot that are not sent for now: ``earlier`` ones were, and came back. ``error``: why."""

    def __init__(self) -> None:
        self.earlier: deque[Call] = deque()
        self.later: deque[Call] = deque()
        self.error: Exception | None = None
        self.task: asyncio.Task[None] | None = None

    def __iter__(self) -> Iterator[Call]:
        """Those that somebody waits for, in order."""
        return (call for calls in (self.earlier, self.later) for call in calls if call.wanted)

    def first(self) -> Call | None:
        """The next one; those before it are forgotten."""
        for calls in (self.earlier, self.later):
            while calls:
                if calls[0].wanted:
                    return calls[0]
                calls.popleft()
        return None

    def give_up(self, error: Exception) -> None:
        """Tell those who have waited long enough."""
        now = asyncio.get_running_loop().time()
        for call in self:
            if call.deadline <= now:
                call.settle(explain_absence(error))

    def cancel(self) -> None:
        """Nobody will be answered."""
        for call in self:
            if call.answer:
                call.answer.cancel()
