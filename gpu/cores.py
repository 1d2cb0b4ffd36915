"""How many threads a step may have: all cores while nobody else uses them, else all but one."""

import os
import time
from pathlib import Path

STATISTICS = Path("/proc/stat")
IDLE_COLUMNS = (4, 5)  # of a line of /proc/stat: idle, waiting for a disk (proc(5))
COLUMNS = range(1, 9)  # from user to steal; what guests use is in user, too
LOOK_S = 0.2
OTHERS = 0.25  # cores that others may use without being in the way


class Cores:
    """The cores of this process. Threads that wait for one another are slow where one of them has to share its core."""

    def __init__(self, *, least: int, most: int) -> None:
        self._least = least
        self._most = most
        self._lines = {f"cpu{number}" for number in os.sched_getaffinity(0)}
        self._tick_s = 1 / os.sysconf("SC_CLK_TCK")
        self._now = least
        self._looked = 0.0
        self._seen = (0.0, 0.0)

    def threads(self) -> int:
        """How many threads the next step may have."""
        if self._least < self._most and time.monotonic() - self._looked >= LOOK_S:
            self._look()
        return self._now

    def _look(self) -> None:
        now, seen = time.monotonic(), (self._busy_s(), time.process_time())
        if self._looked:
            others = ((seen[0] - self._seen[0]) - (seen[1] - self._seen[1])) / (now - self._looked)
            self._now = self._most if others < OTHERS else self._least
        self._looked, self._seen = now, seen

    def _busy_s(self) -> float:
        """How long these cores have been busy, for whomever."""
        try:
            rows = [line.split() for line in STATISTICS.read_text(encoding="ascii").splitlines()]
        except OSError:
            return float("inf")
        columns = [column for column in COLUMNS if column not in IDLE_COLUMNS]
        return sum(int(row[column]) for row in rows if row[0] in self._lines for column in columns) * self._tick_s
