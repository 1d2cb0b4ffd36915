"""BM25 over what FTS5 has indexed, computed here as Weaviate computes it, and several times as fast as by FTS5.

FTS5's own ``bm25`` takes a microsecond for every row that has one of the words; it lets a word that is in more than half of all rows weigh
nothing, so that its order is not the one of Lucene and Weaviate; and its statistics are those of all collections together. So only which
rows have a word, and how often, is asked of FTS5, and kept; what was written since then is asked for as it is needed.
"""

from collections.abc import Sequence

import apsw
import msgspec
import numpy as np
import numpy.typing as npt

from core.storage.vectors.port import POOL
from core.storage.vectors.ranking import K1, B, telling
from core.storage.vectors.sqlite_vec_rows import Mask, Rows
from core.storage.vectors.sqlite_vec_sql import Tables, question

MOST_KEPT = 12_000_000
"""So many pairs of a word and a row are kept of a space, 6 bytes each. A word that is nowhere counts as some of them."""

_NO_PAIRS = 50
_MOST_TIMES = np.iinfo(np.uint16).max


class _Postings(msgspec.Struct):
    """Where a word is, and how often there. ``last``: the id of the last row that was looked at."""

    last: int
    places: npt.NDArray[np.int32]
    times: npt.NDArray[np.uint16]

    @property
    def size(self) -> int:
        """In pairs."""
        return len(self.places) + _NO_PAIRS


class Postings:
    """Of one space. To be refreshed whenever its ``Rows`` were."""

    def __init__(self, tables: Tables, rows: Rows) -> None:
        self._tables = tables
        self._rows = rows
        self._turn = rows.turn
        self._kept: dict[str, _Postings] = {}
        self._pairs = 0
        self.refresh()

    def refresh(self) -> None:
        """What a row's length means, by its place."""
        if self._turn != self._rows.turn:
            self._turn = self._rows.turn
            self._kept.clear()
            self._pairs = 0
        homes = self._rows.homes
        self._points = np.bincount(homes, minlength=1)
        lengths = np.bincount(homes, self._rows.lengths, minlength=1) / np.maximum(self._points, 1)
        average = np.maximum(lengths, 1)[homes]
        self._norms = (K1 * (1 - B + B * self._rows.lengths / average)).astype(np.float32)

    def find(self, connection: apsw.Connection, words: Sequence[str], homes: Sequence[int], seen: Mask) -> tuple[dict[int, float], float]:
        """The best rows of these collections that may be ``seen``, with their BM25; and the most that the words could weigh together.

        A collection's statistics are those of all that it has; a word is given the weight of that collection where it has most.
        """
        weights = np.zeros(len(seen), np.float32)
        asked = [home for home in homes if home < len(self._points)]
        most = 0.0
        for word in words:
            kept = self._postings(connection, word)
            of = self._rows.homes[kept.places]
            there = np.bincount(of, minlength=len(self._points))
            told = np.zeros(len(self._points), np.float32)
            told[asked] = [telling(int(self._points[home]), int(there[home])) for home in asked]
            weights[kept.places] += told[of] * (kept.times / (kept.times + self._norms[kept.places]))
            most += float(told.max())
        self._forget_some()
        weights[~seen] = 0
        best = _best(weights)
        return dict(zip(self._rows.ids[best].tolist(), weights[best].tolist(), strict=True)), most

    def _postings(self, connection: apsw.Connection, word: str) -> _Postings:
        """A word's, as they are now."""
        kept = self._take_out(word) if word in self._kept else None
        last = int(self._rows.ids[-1]) if len(self._rows.ids) else 0
        if kept is None:
            text: str = connection.execute(self._tables.containing(), (word,)).get
            ids, times = np.unique(np.fromstring(text, np.int64, sep=","), return_counts=True)
            kept = _Postings(last, *self._placed(ids, times))
        elif kept.last < last:
            rows = connection.execute(self._tables.newer(), (question(word), kept.last)).fetchall()
            if rows:
                new = self._placed(*np.array(rows, np.int64).T)
                kept = _Postings(last, np.concatenate([kept.places, new[0]]), np.concatenate([kept.times, new[1]]))
            kept.last = last
        self._kept[word] = kept
        self._pairs += kept.size
        return kept

    def _placed(self, ids: npt.NDArray[np.int64], times: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.uint16]]:
        """Of rows that are kept, their places."""
        known = self._rows.ids
        places = np.searchsorted(known, ids)
        there = known[np.minimum(places, len(known) - 1)] == ids
        return places[there].astype(np.int32), np.minimum(times[there], _MOST_TIMES).astype(np.uint16)

    def _take_out(self, word: str) -> _Postings:
        kept = self._kept.pop(word)
        self._pairs -= kept.size
        return kept

    def _forget_some(self) -> None:
        """Those that were asked for longest ago."""
        while self._pairs > MOST_KEPT:
            self._take_out(next(iter(self._kept)))


def _best(weights: npt.NDArray[np.float32]) -> npt.NDArray[np.intp]:
    """The places of the POOL heaviest, of equals those that came first."""
    some = np.flatnonzero(weights > 0)
    if len(some) > POOL:
        some = some[weights[some] >= np.partition(weights[some], -POOL)[-POOL]]
    return some[np.argsort(-weights[some], kind="stable")[:POOL]]
