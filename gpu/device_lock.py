"""A lock on one device: its threads compute one after the other.

On a CPU two that compute at once on all its threads wait for each other at every barrier, and are slower than one after the other.
"""

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager


class DeviceLock:
    """In the order in which they were asked for; a thread that comes back at once does not overtake one that waits."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._busy = False
        self._waiting: deque[threading.Event] = deque()

    @contextmanager
    def take(self) -> Iterator[None]:
        """The device is the caller's for the length of the block."""
        mine = None
        with self._guard:
            if self._busy:
                mine = threading.Event()
                self._waiting.append(mine)
            self._busy = True
        if mine:
            mine.wait()
        try:
            yield
        finally:
            with self._guard:
                if self._waiting:
                    self._waiting.popleft().set()
                else:
                    self._busy = False
