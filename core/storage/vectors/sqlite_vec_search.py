"""A search of the embedded store: on one snapshot, in the order of ``ranking``."""

from collections.abc import Sequence
from typing import Any

import apsw
import msgspec
import numpy as np

from core.storage.vectors import words
from core.storage.vectors.port import Hit, Mode, Passage, Query, Visible
from core.storage.vectors.ranking import rank
from core.storage.vectors.sqlite_vec_postings import Postings
from core.storage.vectors.sqlite_vec_rows import Mask, Rows
from core.storage.vectors.sqlite_vec_sql import CANDIDATES, EXACT_POINTS, Tables, numbers

Editions = list[tuple[Any, ...]]
Key = tuple[str, str, int]


class Sight(msgspec.Struct, frozen=True, kw_only=True):
    """What a query may see: collections and editions, by number."""

    homes: list[int]
    seen: list[int]


class Searcher:
    """Searches on one connection, on its thread alone. What it remembers is looked at again as soon as somebody has written."""

    def __init__(self) -> None:
        self._as_of = -1
        self._editions: dict[tuple[int, int], Editions] = {}
        self._rows: dict[int, Rows] = {}
        self._postings: dict[int, Postings] = {}
        self._fresh: set[int] = set()

    def search(self, connection: apsw.Connection, tables: Tables, query: Query) -> list[Hit]:
        """Hits, best first. The caller holds a snapshot."""
        sight = self._sight(connection, tables.space, query.visible)
        if not sight.seen:
            return []
        rows, postings = self._refresh(connection, tables)
        seen = rows.of_editions(sight.seen)
        near = _near(connection, tables, rows, seen, query.vector) if query.mode is not Mode.KEYWORD else {}
        asked = words.ask(query.text) if query.mode is not Mode.VECTOR else []
        found, most = postings.find(connection, asked, sight.homes, seen)
        keys = _keys(connection, tables, [*near, *(row for row in found if row not in near)])
        if query.mode is Mode.HYBRID:
            near |= _cosines(connection, tables, [row for row in found if row not in near], query.vector)
        cosines = {keys[row]: cosine for row, cosine in near.items()}
        ranked = rank(query, cosines, {keys[row]: weight for row, weight in found.items()}, most)
        passages = _passages(connection, tables, [row for (_, _, row), _ in ranked])
        return [Hit(passage=passages[row], score=score) for (_, _, row), score in ranked]

    def _sight(self, connection: apsw.Connection, space: int, visible: Visible) -> Sight:
        as_of = connection.execute("PRAGMA data_version").get
        if as_of != self._as_of:
            self._as_of = as_of
            self._editions.clear()
            self._fresh.clear()
        homes: list[int] = []
        seen: list[int] = []
        for collection, files in visible.items():
            home = connection.execute("SELECT id FROM homes WHERE collection = ?", (collection,)).get
            if home is None:
                continue
            homes.append(home)
            editions = self._editions.get((space, home))
            if editions is None:
                sql = "SELECT id, file, generation FROM editions WHERE space = ? AND home = ?"
                editions = self._editions[space, home] = connection.execute(sql, (space, home)).fetchall()
            seen += [edition for edition, file, generation in editions if files.get(file) == generation]
        return Sight(homes=homes, seen=seen)

    def _refresh(self, connection: apsw.Connection, tables: Tables) -> tuple[Rows, Postings]:
        """What is kept of a space in memory, as it is now."""
        rows = self._rows.get(tables.space) or self._rows.setdefault(tables.space, Rows(tables))
        postings = self._postings.get(tables.space) or self._postings.setdefault(tables.space, Postings(tables, rows))
        if tables.space not in self._fresh:
            rows.refresh(connection)
            postings.refresh()
            self._fresh.add(tables.space)
        return rows, postings


def _near(connection: apsw.Connection, tables: Tables, rows: Rows, seen: Mask, vector: bytes) -> dict[int, float]:
    """The nearest by row, with their cosines: exactly where there are few, by their bits first where there are many."""
    if np.count_nonzero(seen) > EXACT_POINTS:
        bits = connection.execute("SELECT vec_quantize_binary(vec_f32(?))", (vector,)).get
        likely = rows.nearest(seen, bits, CANDIDATES)
    else:
        likely = rows.ids[seen]
    return _cosines(connection, tables, likely.tolist(), vector)


def _cosines(connection: apsw.Connection, tables: Tables, rows: Sequence[int], vector: bytes) -> dict[int, float]:
    sql = tables.nearest(f"id IN {numbers(rows)}")
    return {row: 1 - distance for row, distance in connection.execute(sql, (vector,))}


def _keys(connection: apsw.Connection, tables: Tables, rows: Sequence[int]) -> dict[int, Key]:
    """What ties go by: the passage's id, then the file's."""
    sql = f"SELECT p.id, key, file FROM {tables.points} p JOIN editions e ON e.id = p.edition WHERE p.id IN {numbers(rows)}"  # noqa: S608
    return {row: (key, file, row) for row, key, file in connection.execute(sql)}


def _passages(connection: apsw.Connection, tables: Tables, rows: Sequence[int]) -> dict[int, Passage]:
    sql = (
        f"SELECT p.id, collection, key, file, generation, position, text, headings, pages, metadata FROM {tables.points} p "  # noqa: S608
        f"JOIN editions e ON e.id = p.edition JOIN homes h ON h.id = p.home WHERE p.id IN {numbers(rows)}"
    )
    return {row[0]: _passage(*row[1:]) for row in connection.execute(sql)}


def _passage(collection: str, key: str, file: str, generation: int, *rest: Any) -> Passage:
    position, text, headings, pages, metadata = rest
    return Passage(
        id=key,
        collection=collection,
        file=file,
        generation=generation,
        position=position,
        text=text,
        headings=msgspec.json.decode(headings, type=tuple[str, ...]),
        pages=msgspec.json.decode(pages, type=tuple[int, ...]),
        metadata=metadata,
    )
