"""What rows that are free still hold: a prompt that begins like one of them need not be computed anew. Imports no torch."""

import msgspec


class Copy(msgspec.Struct, frozen=True):
    """The first ``length`` tokens' keys and values are to be copied between two rows."""

    source: int
    target: int
    length: int


def shared_length(first: list[int], second: list[int], least: int) -> int:
    """How many ids two lists begin with alike; 0 where it is fewer than ``least``."""
    low, high = least, min(len(first), len(second))
    if high < low or first[:low] != second[:low]:
        return 0
    while low < high:
        middle = (low + high + 1) // 2
        if first[low:middle] == second[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


class PrefixCache:
    """Free rows, and the ids whose keys and values they hold, the longest unused first."""

    def __init__(self, rows: int, least_shared: int) -> None:
        self._least = least_shared
        self._free = set(range(rows))
        self._kept: dict[int, list[int]] = {}

    def __bool__(self) -> bool:
        """Whether there is a free row."""
        return bool(self._free)

    @property
    def tokens(self) -> int:
        """How many tokens are held."""
        return sum(map(len, self._kept.values()))

    def give(self, row: int, ids: list[int]) -> None:
        """A row is free again."""
        self._free.add(row)
        if len(ids) >= self._least:
            self._kept[row] = ids

    def forget(self) -> int | None:
        """Let go of what was unused longest; its row, or None where nothing is held."""
        row = next(iter(self._kept), None)
        if row is not None:
            del self._kept[row]
        return row

    def take(self, ids: list[int]) -> tuple[int, int]:
        """A row for these ids and how many of them it holds already.

        What another conversation may still come back to is left alone while there are empty rows, unless most of it is of use here.
        """
        for row, held in self._kept.items():
            length = shared_length(held, ids, self._least)
            if 2 * length > len(held):
                return self._take(row), length
        empty = self._free - self._kept.keys()
        if empty:
            return self._take(min(empty)), 0
        row, held = next(iter(self._kept.items()))
        return self._take(row), shared_length(held, ids, self._least)

    def best(self, ids: list[int]) -> tuple[int, int]:
        """(row, length): the free row that holds most of the beginning of these ids."""
        return max(
            ((row, shared_length(held, ids, self._least)) for row, held in self._kept.items()), key=lambda found: found[1], default=(0, 0)
        )

    def _take(self, row: int) -> int:
        self._free.discard(row)
        self._kept.pop(row, None)
        return row
