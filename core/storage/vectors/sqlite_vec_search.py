"""A search of the embedded store: on one snapshot, in the order of ``ranking``."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import apsw
import msgspec
import numpy as np

from core.storage.vectors import words
from core.storage.vectors.port import Hit, Mode, Passage, Query, Visible
from core.storage.vectors.ranking import rank
from core.storage.vectors.sqlite_vec_signs import Signs
from core.storage.vectors.sqlite_vec_sql import CANDIDATES, EXACT_POINTS, FEW_ROWS, LEAST_WORDS, LIKELY_ROWS, Tables, numbers, question

REMEMBERED_WORDS = 10_000

Key = tuple[str, str, int]
Rows = list[tuple[Any, ...]]


class Sight(msgspec.Struct, frozen=True, kw_only=True):
    """What a query may see: collections by number, and which of the editions there are seen and which are not.

    ``others``: are there collections beside them?
    """

    homes: list[int]
    others: bool
    seen: list[int]
    hidden: list[int]

    def of_words(self, tables: Tables) -> str:
        """As a condition on what is known to be in the collections; empty where all of that is seen.

        The plus keeps SQLite from asking FTS5 once for each of those rows.
        """
        if not self.hidden:
            return ""
        way, editions = ("IN", self.seen) if len(self.seen) <= len(self.hidden) else ("NOT IN", self.hidden)
        return f" AND +rowid {way} (SELECT id FROM {tables.points} WHERE edition IN {numbers(editions)})"  # noqa: S608 - numbers of our own, as everywhere here


class Searcher:
    """Searches on one connection, on its thread alone. What it remembers is looked at again as soon as somebody has written."""

    def __init__(self, few_rows: int = FEW_ROWS) -> None:
        """``few_rows``: so many that have some of a question's words are all weighed."""
        self._few_rows = few_rows
        self._as_of = -1
        self._editions: dict[tuple[int, int], Rows] = {}
        self._others: dict[tuple[int, ...], bool] = {}
        self._rows_of: dict[tuple[int, str], int] = {}
        self._signs: dict[int, Signs] = {}
        self._fresh: set[int] = set()

    def search(self, connection: apsw.Connection, tables: Tables, query: Query) -> list[Hit]:
        """Hits, best first. The caller holds a snapshot."""
        sight = self._sight(connection, tables.space, query.visible)
        if not sight.seen:
            return []
        near = self._near(connection, tables, sight, query.vector) if query.mode is not Mode.KEYWORD else {}
        found = self._found(connection, tables, sight, query.text) if query.mode is not Mode.VECTOR else {}
        keys = _keys(connection, tables, [*near, *(row for row in found if row not in near)])
        if query.mode is Mode.HYBRID:
            near |= _cosines(connection, tables, [row for row in found if row not in near], query.vector)
        cosines = {keys[row]: cosine for row, cosine in near.items()}
        ranked = rank(query, cosines, {keys[row]: weight for row, weight in found.items()})
        passages = _passages(connection, tables, [row for (_, _, row), _ in ranked])
        return [Hit(passage=passages[row], score=score) for (_, _, row), score in ranked]

    def _sight(self, connection: apsw.Connection, space: int, visible: Visible) -> Sight:
        as_of = connection.execute("PRAGMA data_version").get
        if as_of != self._as_of:
            self._as_of = as_of
            for remembered in (self._editions, self._others, self._rows_of):
                remembered.clear()
            self._fresh.clear()
        homes: list[int] = []
        seen: list[int] = []
        hidden: list[int] = []
        for collection, files in visible.items():
            home = connection.execute("SELECT id FROM homes WHERE collection = ?", (collection,)).get
            if home is None:
                continue
            homes.append(home)
            editions = self._editions.get((space, home))
            if editions is None:
                sql = "SELECT id, file, generation FROM editions WHERE space = ? AND home = ?"
                editions = self._editions[space, home] = connection.execute(sql, (space, home)).fetchall()
            for edition, file, generation in editions:
                (seen if files.get(file) == generation else hidden).append(edition)
        asked = (space, *homes)
        if asked not in self._others:
            sql = f"SELECT EXISTS (SELECT 1 FROM editions WHERE space = ? AND home NOT IN {numbers(homes)})"  # noqa: S608
            self._others[asked] = bool(connection.execute(sql, (space,)).get)
        return Sight(homes=homes, others=self._others[asked], seen=seen, hidden=hidden)

    def _near(self, connection: apsw.Connection, tables: Tables, sight: Sight, vector: bytes) -> dict[int, float]:
        """The nearest by row, with their cosines: exactly where there are few, by their bits first where there are many."""
        signs = self._refresh(connection, tables)
        among = signs.of_editions(sight.seen)
        if np.count_nonzero(among) > EXACT_POINTS:
            bits = connection.execute("SELECT vec_quantize_binary(vec_f32(?))", (vector,)).get
            rows = signs.nearest(among, bits, CANDIDATES)
        else:
            rows = signs.ids(among)
        return _cosines(connection, tables, rows.tolist(), vector)

    def _found(self, connection: apsw.Connection, tables: Tables, sight: Sight, text: str) -> dict[int, float]:
        """The best by words, by row, with their BM25."""
        asked = self._telling(connection, tables, words.ask(text))
        if not asked:
            return {}
        if len(asked) >= LEAST_WORDS and sum(self._rows_of[tables.space, word] for word in asked) > self._few_rows:
            where, homes = f" AND +rowid IN {numbers(self._likely(connection, tables, sight, asked))}", list[int]()
        else:
            where, homes = sight.of_words(tables), sight.homes if sight.others else []
        rows: Iterable[Any] = connection.execute(tables.matching(where), (question(homes, list(asked)),))
        return dict(rows)

    def _likely(self, connection: apsw.Connection, tables: Tables, sight: Sight, asked: Mapping[str, float]) -> list[int]:
        """The rows that may be seen and whose words weigh most together, each word counted once."""
        signs = self._refresh(connection, tables)
        texts = ((connection.execute(tables.having(), (question((), [word]),)).get, weight) for word, weight in asked.items())
        found = ((np.fromstring(text, np.int64, sep=","), weight) for text, weight in texts if text)
        likely: list[int] = signs.heaviest(signs.of_editions(sight.seen), found, LIKELY_ROWS).tolist()
        return likely

    def _refresh(self, connection: apsw.Connection, tables: Tables) -> Signs:
        """What is kept of a space in memory, as it is now."""
        signs = self._signs.get(tables.space) or self._signs.setdefault(tables.space, Signs(tables))
        if tables.space not in self._fresh:
            signs.refresh(connection)
            self._fresh.add(tables.space)
        return signs

    def _telling(self, connection: apsw.Connection, tables: Tables, asked: Sequence[str]) -> dict[str, float]:
        """The words of a question that weigh something, each with what a row's BM25 is multiplied by for it.

        FTS5 gives those in more than half of the rows about nothing, and to look at half of the rows for that takes longer than all the
        rest: they are asked for where there are no others.
        """
        if not asked:
            return {}
        if len(self._rows_of) > REMEMBERED_WORDS:
            self._rows_of.clear()
        new = [word for word in asked if (tables.space, word) not in self._rows_of]
        if new:
            sql = f"SELECT term, doc FROM {tables.vocabulary} WHERE term IN (SELECT value FROM json_each(?))"  # noqa: S608
            found: Iterable[Any] = connection.execute(sql, (msgspec.json.encode(new).decode(),))
            counted = dict(found)
            self._rows_of |= {(tables.space, word): counted.get(word, 0) for word in new}
        rows_of = {word: self._rows_of[tables.space, word] for word in asked}
        there = [word for word, rows in rows_of.items() if rows]
        total: int = connection.execute(f"SELECT count(*) FROM {tables.words}_docsize").get  # noqa: S608
        telling = [word for word in there if rows_of[word] * 2 <= total] or there
        return {word: max(1e-6, math.log((total - rows_of[word] + 0.5) / (rows_of[word] + 0.5))) for word in telling}


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
