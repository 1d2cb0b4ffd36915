"""Whose turn a device's next is, where several kinds of work want it. Policy only: imports no torch.

Each share's seconds are divided by its weight; who has had least so far goes next. Who was away saves nothing up: it comes back as if it
had had as much as the others. So a newcomer goes before whoever has kept the device busy, and nobody waits for ever.
"""

from collections.abc import Collection
from enum import StrEnum


class Share(StrEnum):
    """What a turn is for. Of equals, the first goes first."""

    QUERIES = "queries"
    DECODING = "decoding"
    BULK = "bulk"


WEIGHTS = {Share.QUERIES: 10, Share.DECODING: 10, Share.BULK: 1}
ORDER = tuple(Share)


class Shares:
    """What each share has had."""

    def __init__(self) -> None:
        self._had = dict.fromkeys(Share, 0.0)
        self._now = 0.0  # what the last that was served had had before
        self._present: frozenset[Share] = frozenset()

    def first(self, wanting: Collection[Share]) -> Share:
        """Who of these goes next."""
        for share in frozenset(wanting) - self._present:
            self._had[share] = max(self._had[share], self._now)
        self._present = frozenset(wanting)
        return min(wanting, key=lambda share: (self._had[share], ORDER.index(share)))

    def charge(self, share: Share, seconds: float) -> None:
        """A turn has been taken."""
        self._now = max(self._now, self._had[share])
        self._had[share] += seconds / WEIGHTS[share]
