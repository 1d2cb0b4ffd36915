"""Times of writing."""

import time


class Timestamps:
    """Microseconds since 1970, each later than the one before, whatever the clock does."""

    def __init__(self) -> None:
        self._last = 0

    def next(self) -> int:
        """Now."""
        self._last = max(time.time_ns() // 1000, self._last + 1)
        return self._last
