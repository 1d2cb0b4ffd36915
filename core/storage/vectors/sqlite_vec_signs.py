"""The bits of a space's vectors in memory, so that the nearest of very many are found in a millisecond or two.

SQLite takes 0.3 us for a row of a scan, whatever is done with it: at 100,000 rows more than everything else of a search together. What is
read once is kept; then only rows that are new are read, since ids only rise. Rows that are deleted stay until half of what is kept is gone:
their editions are seen by nobody. Each point takes its bits and 12 bytes.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import apsw
import numpy as np
import numpy.typing as npt

from core.storage.vectors.sqlite_vec_sql import Tables

WORD_BYTES = 8
_FAR = np.iinfo(np.uint16).max

Ids = npt.NDArray[np.int64]


class Signs:
    """Of one space. ``columns``: the bits, 64 of every point together."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._ids: Ids = np.empty(0, np.int64)
        self._editions = np.empty(0, np.int32)
        self._columns: list[npt.NDArray[np.uint64]] = []

    def refresh(self, connection: apsw.Connection) -> None:
        """Read what is new; all of it where half is gone. To be called when somebody may have written."""
        there: int = connection.execute(f"SELECT count(*) FROM {self._tables.signs}").get  # noqa: S608 - a name of our own, as below
        if len(self._ids) > 2 * there:
            self._ids, self._editions, self._columns = self._ids[:0], self._editions[:0], []
        last = int(self._ids[-1]) if len(self._ids) else 0
        sql = f"SELECT id, edition, bits FROM {self._tables.signs} WHERE id > ? ORDER BY id"  # noqa: S608
        rows: list[Any] = connection.execute(sql, (last,)).fetchall()
        if not rows:
            return
        ids, editions, bits = zip(*rows, strict=True)
        words = _words(b"".join(bits), len(ids))
        self._ids = np.concatenate([self._ids, np.array(ids, np.int64)])
        self._editions = np.concatenate([self._editions, np.array(editions, np.int32)])
        self._columns = [np.concatenate(pair) for pair in zip(self._columns, words, strict=True)] if self._columns else words

    def of_editions(self, editions: Sequence[int]) -> npt.NDArray[np.bool_]:
        """Which points are of these."""
        wanted = np.zeros(max(int(self._editions.max(initial=0)), *editions) + 1, np.bool_)
        wanted[np.array(editions)] = True
        found: npt.NDArray[np.bool_] = wanted[self._editions]
        return found

    def ids(self, among: npt.NDArray[np.bool_]) -> Ids:
        """All of these."""
        return self._ids[among]

    def heaviest(self, among: npt.NDArray[np.bool_], found: Iterable[tuple[Ids, float]], limit: int) -> Ids:
        """Those of these that weigh most, and all that weigh as much as the last. ``found``: points, and what each of them weighs more."""
        by_id = np.zeros(int(self._ids.max(initial=0)) + 1, np.float32)
        for ids, weight in found:
            by_id[ids] += weight
        weights = by_id[self._ids]
        weights[~among] = 0
        least = np.partition(weights, -limit)[-limit] if limit < len(weights) else 0.0
        return self._ids[(weights >= least) & (weights > 0)]

    def nearest(self, among: npt.NDArray[np.bool_], bits: bytes, limit: int) -> Ids:
        """Those of these whose bits differ least from some."""
        (asked,) = np.array(_words(bits, 1)).T
        distances = np.zeros(len(self._ids), np.uint16)
        for column, word in zip(self._columns, asked, strict=True):
            distances += np.bitwise_count(column ^ word)
        distances[~among] = _FAR
        if limit >= len(distances):
            return self._ids[among]
        first = np.argpartition(distances, limit)[:limit]
        return self._ids[first[distances[first] < _FAR]]


def _words(bits: bytes, count: int) -> list[npt.NDArray[np.uint64]]:
    """Points' bits, one after the other, as columns of 64."""
    rows = np.frombuffer(bits, np.uint8).reshape(count, -1)
    padded = np.zeros((count, -(-rows.shape[1] // WORD_BYTES) * WORD_BYTES), np.uint8)
    padded[:, : rows.shape[1]] = rows
    return [np.ascontiguousarray(column) for column in padded.view(np.uint64).T]
