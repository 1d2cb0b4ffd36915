"""How long a program that died stays down: not at all the first time, then longer and longer while it dies young."""

from collections import deque

FIRST_PAUSE_S = 0.25
LONGEST_PAUSE_S = 10.0
SETTLED_S = 30.0
YOUNG_S = 10.0
CRASHES = 4
WITHIN_S = 60.0
LOOPING_PAUSE_S = 30.0


class Backoff:
    """A program that dies CRASHES times within WITHIN_S, each time YOUNG_S old at most, loops; a life of ``settled_s`` forgives it all."""

    def __init__(self, *, looping_pause_s: float = LOOPING_PAUSE_S, settled_s: float = SETTLED_S) -> None:
        self.looping_pause_s = looping_pause_s
        self.settled_s = settled_s
        self.looping = False
        self._next_s = 0.0
        self._clock_s = 0.0
        self._crashes: deque[float] = deque(maxlen=CRASHES)

    def pause(self, lived_s: float) -> float:
        """Seconds to wait after a life of ``lived_s``."""
        self._clock_s += lived_s
        if lived_s >= self.settled_s:
            self.looping = False
            self._next_s = 0.0
            self._crashes.clear()
        elif lived_s < YOUNG_S:
            self._crashes.append(self._clock_s)
            self.looping |= len(self._crashes) == CRASHES and self._clock_s - self._crashes[0] <= WITHIN_S
        pause = self.looping_pause_s if self.looping else self._next_s
        self._next_s = min(max(self._next_s * 2, FIRST_PAUSE_S), LONGEST_PAUSE_S)
        self._clock_s += pause
        return pause
