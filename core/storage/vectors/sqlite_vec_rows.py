"""What is kept of a space's points in memory, so that a search of very many takes a few milliseconds: whose each is, its bits, its length.

SQLite takes 0.3 us for a row of a scan, whatever is done with it: at 100,000 rows more than everything else of a search together. What is
read once is kept; then only rows that are new are read, since ids only rise. A row has one place here for as long as it is kept: rows that
are deleted stay, seen by nobody, until half of all are gone. Each point takes its bits and 20 bytes.
"""

from collections.abc import Sequence
from typing import Any

import apsw
import numpy as np
import numpy.typing as npt

from core.storage.vectors.sqlite_vec_sql import Tables

WORD_BYTES = 8
NOWHERE = 0
"""The edition, and the collection, of what is deleted."""

_FAR = np.iinfo(np.uint16).max

Ids = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


class Rows:
    """Of one space, by place. ``homes``: numbers of collections; ``lengths``: in words; ``turn``: of another one all places are others."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self.turn = 0
        self._forget()

    def refresh(self, connection: apsw.Connection) -> None:
        """Read what is new, and see what is gone. To be called when somebody may have written."""
        new = self._new(connection)
        there: int = connection.execute(f"SELECT count(*) FROM {self._tables.signs}").get  # noqa: S608 - a name of our own, as below
        if len(self.ids) > 2 * there:
            self._forget()
            self.turn += 1
            new = self._new(connection)
        if new:
            self._add(new)
        if np.count_nonzero(self.homes) > there:
            self._strike_out(connection)

    def of_editions(self, editions: Sequence[int]) -> Mask:
        """Which places are of these."""
        wanted = np.zeros(max(int(self._editions.max(initial=0)), *editions) + 1, np.bool_)
        wanted[np.array(editions)] = True
        found: Mask = wanted[self._editions]
        return found

    def nearest(self, among: Mask, bits: bytes, limit: int) -> Ids:
        """Those of these whose bits differ least from some."""
        (asked,) = np.array(_words(bits, 1)).T
        distances = np.zeros(len(self.ids), np.uint16)
        for column, word in zip(self._columns, asked, strict=True):
            distances += np.bitwise_count(column ^ word)
        distances[~among] = _FAR
        if limit >= len(distances):
            return self.ids[among]
        first = np.argpartition(distances, limit)[:limit]
        return self.ids[first[distances[first] < _FAR]]

    def _forget(self) -> None:
        self.ids: Ids = np.empty(0, np.int64)
        self.homes: npt.NDArray[np.int32] = np.empty(0, np.int32)
        self.lengths: npt.NDArray[np.float32] = np.empty(0, np.float32)
        self._editions: npt.NDArray[np.int32] = np.empty(0, np.int32)
        self._columns: list[npt.NDArray[np.uint64]] = []

    def _new(self, connection: apsw.Connection) -> list[Any]:
        sql = (
            f"SELECT s.id, s.edition, e.home, d.sz, s.bits FROM {self._tables.signs} s JOIN editions e ON e.id = s.edition "  # noqa: S608
            f"JOIN {self._tables.words}_docsize d ON d.id = s.id WHERE s.id > ? ORDER BY s.id"
        )
        return connection.execute(sql, (int(self.ids[-1]) if len(self.ids) else 0,)).fetchall()

    def _add(self, rows: Sequence[Any]) -> None:
        ids, editions, homes, sizes, bits = zip(*rows, strict=True)
        columns = _words(b"".join(bits), len(ids))
        self.ids = np.concatenate([self.ids, np.array(ids, np.int64)])
        self.homes = np.concatenate([self.homes, np.array(homes, np.int32)])
        self.lengths = np.concatenate([self.lengths, np.array([*map(_length, sizes)], np.float32)])
        self._editions = np.concatenate([self._editions, np.array(editions, np.int32)])
        self._columns = [np.concatenate(pair) for pair in zip(self._columns, columns, strict=True)] if self._columns else columns

    def _strike_out(self, connection: apsw.Connection) -> None:
        """Some are gone; which ones, only all that are there can tell."""
        text: str = connection.execute(f"SELECT coalesce(group_concat(id), '') FROM {self._tables.signs}").get  # noqa: S608
        gone = np.isin(self.ids, np.fromstring(text, np.int64, sep=","), assume_unique=True, invert=True)
        self.homes[gone] = NOWHERE
        self._editions[gone] = NOWHERE


def _length(sizes: bytes) -> int:
    """A row's words: FTS5 keeps a number for each column as SQLite's record format has it; the first is the collection's, always 1."""
    length = 0
    for byte in sizes[1:]:
        length = length << 7 | byte & 0x7F
    return length


def _words(bits: bytes, count: int) -> list[npt.NDArray[np.uint64]]:
    """Points' bits, one after the other, as columns of 64."""
    rows = np.frombuffer(bits, np.uint8).reshape(count, -1)
    padded = np.zeros((count, -(-rows.shape[1] // WORD_BYTES) * WORD_BYTES), np.uint8)
    padded[:, : rows.shape[1]] = rows
    return [np.ascontiguousarray(column) for column in padded.view(np.uint64).T]
