"""A lock on one device: its threads compute one after the other, each kind of work as much as its share.

On a CPU two that compute at once on all its threads wait for each other at every barrier, and are slower than one after the other.
"""

import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager

from gpu.shares import Share, Shares

PATIENCE_S = 0.02  # for whoever's turn it is, and who is not there yet


class Seat:
    """One thread's place at a device. ``wants``: what it has to do now, whether or not it asks at this moment; callable from any thread."""

    def __init__(self, lock: "DeviceLock", wants: Callable[[], Collection[Share]]) -> None:
        self._lock = lock
        self.wants = wants
        self.asking: threading.Event | None = None
        self.given = Share.BULK

    @contextmanager
    def take(self) -> Iterator[Share]:
        """The device is the caller's for the length of the block, for one of what it wants: a step, a query, a piece of something long."""
        share = self._lock.wait(self)
        began = time.perf_counter()
        try:
            yield share
        finally:
            self._lock.give_back(share, time.perf_counter() - began)

    def leave(self) -> None:
        """Its thread does not come any more."""
        self._lock.leave(self)


class DeviceLock:
    """Between two steps the engine is away for a moment; who would get the device in that moment, by its share, waits for it instead."""

    def __init__(self, *, patience_s: float = PATIENCE_S) -> None:
        self._patience_s = patience_s
        self._guard = threading.Lock()
        self._shares = Shares()
        self._seats: list[Seat] = []  # the longest unserved first
        self._is_taken = False

    def seat(self, wants: Callable[[], Collection[Share]]) -> Seat:
        """A place for one more thread."""
        with self._guard:
            self._seats.append(Seat(self, wants))
            return self._seats[-1]

    @property
    def asking(self) -> int:
        """How many threads wait for it."""
        with self._guard:
            return sum(seat.asking is not None for seat in self._seats)

    def wait(self, seat: Seat) -> Share:
        """Until it is the seat's turn."""
        asking = threading.Event()
        with self._guard:
            seat.asking = asking
            self._grant()
        while not asking.wait(self._patience_s):
            with self._guard:
                self._grant(among_asking=True)
        return seat.given

    def give_back(self, share: Share, seconds: float) -> None:
        """The turn is over."""
        with self._guard:
            self._shares.charge(share, seconds)
            self._is_taken = False
            self._grant()

    def leave(self, seat: Seat) -> None:
        """A thread has ended."""
        with self._guard:
            self._seats.remove(seat)
            self._grant()

    def _grant(self, *, among_asking: bool = False) -> None:
        asking = [seat for seat in self._seats if seat.asking]
        if self._is_taken or not asking:
            return
        wanted = {seat: frozenset(seat.wants()) for seat in self._seats}
        for seat in asking:
            wanted[seat] = wanted[seat] or frozenset((Share.BULK,))  # what it wanted has gone: it tidies up
        share = self._shares.first(frozenset().union(*(wanted[seat] for seat in (asking if among_asking else self._seats))))
        chosen = next((seat for seat in asking if share in wanted[seat]), None)
        if chosen and chosen.asking:
            self._is_taken = True
            self._seats.remove(chosen)
            self._seats.append(chosen)
            chosen.given = share
            chosen.asking.set()
            chosen.asking = None
