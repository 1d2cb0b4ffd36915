"""Vectors and words in one SQLite file of the data folder, through apsw, sqlite-vec and FTS5: one thread that reads, one that writes.

A point goes into three tables in one transaction. Nothing here is done by an upsert of the library: neither sqlite-vec nor an FTS5 table
without content has one that can be trusted, so what is there is deleted first.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import apsw
import msgspec
import sqlite_vec

from core.errors import SettingsError, Unavailable
from core.storage.records.sqlite_connection import connect
from core.storage.records.sqlite_errors import explain
from core.storage.records.sqlite_threads import SqliteThread, read, write
from core.storage.vectors import words
from core.storage.vectors.port import (
    SEARCH_S,
    Entry,
    Hit,
    Point,
    Query,
    Selection,
    VectorSpace,
    check_collection,
    check_points,
    check_query,
)
from core.storage.vectors.sqlite_vec_search import Searcher
from core.storage.vectors.sqlite_vec_sql import COMMON, TIMES, Tables, conditions, home_word, times

FILE = "vectors.db"
VERSION = 2
MMAP_BYTES = 1 << 30
POINTS_AT_ONCE = 256  # in a transaction, so that others who write get their turn
ROWS_AT_ONCE = 2_000
EIGHT = 8

T = TypeVar("T")


class SqliteVectors:
    """The port on SQLite. Made by ``open``."""

    def __init__(self, reader: SqliteThread, writer: SqliteThread) -> None:
        self._reader = reader
        self._writer = writer
        self._searcher = Searcher()

    @classmethod
    async def open(cls, folder: Path) -> "SqliteVectors":
        """The store in a data folder, made where it is missing.

        Raises SettingsError for a folder that cannot be used or that a newer build made, Unavailable for a damaged file.
        """
        path = folder / FILE
        writer = await SqliteThread.start(lambda: _connect(path), write)
        try:
            return cls(await SqliteThread.start(lambda: _connect(path), read), writer)
        except BaseException:
            await writer.close()
            raise

    async def close(self) -> None:
        """End both threads, after what they were given before."""
        await asyncio.gather(self._reader.close(), self._writer.close())

    async def setup(self, space: VectorSpace) -> None:
        """Make a space's tables."""
        await self._writer.call(lambda connection: _setup(connection, space))

    async def ping(self) -> None:
        """Read something."""
        await self._reader.call(lambda connection: connection.execute("SELECT count(*) FROM sqlite_schema").get)

    async def upsert(self, space: VectorSpace, points: Sequence[Point]) -> None:
        """Some at a time, each lot in one transaction."""
        for start in range(0, len(points), POINTS_AT_ONCE):
            lot = points[start : start + POINTS_AT_ONCE]
            rows = await asyncio.to_thread(_prepare, space, lot)
            await self._writer.call(lambda connection, rows=rows: _upsert(connection, _setup(connection, space), rows))  # type: ignore[misc]

    async def delete(self, space: VectorSpace, selection: Selection) -> int:
        """Some rows at a time, until there are none."""
        check_collection(selection.collection)
        deleted = 0
        while some := await self._writer.call(_over(space, lambda connection, tables: _delete(connection, tables, selection), 0)):
            deleted += some
        return deleted

    async def count(self, space: VectorSpace, selection: Selection) -> int:
        """Counted by an index."""
        check_collection(selection.collection)

        def counted(connection: apsw.Connection, tables: Tables) -> int:
            condition, bindings = conditions(selection, tables.space)
            return int(connection.execute(f"SELECT count(*) FROM {tables.points} WHERE {condition}", bindings).get)  # noqa: S608 - names of our own, as everywhere here

        return await self._reader.call(_over(space, counted, 0))

    async def entries(self, space: VectorSpace, collection: str) -> AsyncIterator[Entry]:
        """In the order of their rows, some at a time."""
        check_collection(collection)
        last = 0

        def following(connection: apsw.Connection, tables: Tables) -> list[tuple[Any, ...]]:
            sql = (
                f"SELECT s.id, key, file, generation FROM {tables.signs} s JOIN {tables.points} p ON p.id = s.id "  # noqa: S608
                "JOIN editions e ON e.id = s.edition WHERE e.home = (SELECT id FROM homes WHERE collection = ?) AND s.id > ? "
                f"ORDER BY s.id LIMIT {ROWS_AT_ONCE}"
            )
            return connection.execute(sql, (collection, last)).fetchall()

        nothing: list[tuple[Any, ...]] = []
        while rows := await self._reader.call(_over(space, following, nothing)):
            for _, key, file, generation in rows:
                yield Entry(id=key, file=file, generation=generation)
            last = rows[-1][0]

    async def collections(self, space: VectorSpace) -> list[str]:
        """Those that have an edition."""
        sql = "SELECT DISTINCT collection FROM editions e JOIN homes h ON h.id = e.home WHERE e.space = ? ORDER BY collection"

        def named(connection: apsw.Connection, tables: Tables) -> list[str]:
            return [collection for (collection,) in connection.execute(sql, (tables.space,))]

        return await self._reader.call(_over(space, named, []))

    async def search(self, space: VectorSpace, query: Query) -> list[Hit]:
        """On one snapshot."""
        check_query(space, query)
        whole = msgspec.structs.replace(query, vector=_padded(query.vector))

        def found(connection: apsw.Connection, tables: Tables) -> list[Hit]:
            return self._searcher.search(connection, tables, whole)

        try:
            async with asyncio.timeout(SEARCH_S):
                return await self._reader.call(_over(space, found, []))
        except TimeoutError:
            message = f"The search has taken longer than {SEARCH_S:.0f} s: the disk or the processor is busy. Try again in a moment."
            raise Unavailable(message) from None

    async def drop(self, space: VectorSpace) -> None:
        """Drop the space's tables."""

        def dropped(connection: apsw.Connection, tables: Tables) -> None:
            for statement in tables.drop():
                connection.execute(statement)
            connection.execute("DELETE FROM editions WHERE space = ?", (tables.space,))
            connection.execute("DELETE FROM spaces WHERE id = ?", (tables.space,))

        await self._writer.call(_over(space, dropped, None))


class _Row(msgspec.Struct, frozen=True, kw_only=True):
    point: Point
    vector: bytes
    words: str


def _connect(path: Path) -> apsw.Connection:
    """A connection that knows vectors, to a file whose tables are there. Raises core.errors."""
    connection = connect(path)
    try:
        connection.enable_load_extension(True)  # noqa: FBT003 - apsw's
        connection.load_extension(sqlite_vec.loadable_path())
        connection.enable_load_extension(False)  # noqa: FBT003
        connection.register_fts5_function(TIMES, times)
        connection.execute(f"PRAGMA mmap_size = {MMAP_BYTES}")
        version = connection.execute("PRAGMA user_version").get
        if version > VERSION:
            message = f"The file {FILE} in the data folder was made by a newer Penstock. Update this one, or name another data folder."
            raise SettingsError(message)
        if version < VERSION:
            connection.execute("BEGIN IMMEDIATE")
            for statement in COMMON:
                connection.execute(statement)
            spaces: list[Any] = connection.execute("SELECT id FROM spaces").fetchall()
            for (space,) in spaces:
                for statement in (*Tables(space).create(), f"DROP TABLE IF EXISTS vocabulary_{space}"):  # which the first version had
                    connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {VERSION}")
            connection.execute("COMMIT")
    except apsw.Error as error:
        raise explain(error) from None
    return connection


def _over(space: VectorSpace, work: Callable[[apsw.Connection, Tables], T], nothing: T) -> Callable[[apsw.Connection], T]:
    """Work over a space's tables; of a space that is not there, ``nothing``."""

    def done(connection: apsw.Connection) -> T:
        outcome = nothing
        with connection:  # one snapshot of all that is looked at
            number = _number(connection, space)
            if number is not None:
                outcome = work(connection, Tables(number))
        return outcome

    return done


def _number(connection: apsw.Connection, space: VectorSpace) -> int | None:
    sql = "SELECT id FROM spaces WHERE model = ? AND dimensions = ?"
    number: int | None = connection.execute(sql, (space.model, space.dimensions)).get
    return number


def _setup(connection: apsw.Connection, space: VectorSpace) -> Tables:
    number = _number(connection, space)
    if number is None:
        connection.execute("INSERT INTO spaces (model, dimensions) VALUES (?, ?)", (space.model, space.dimensions))
        number = connection.last_insert_rowid()
        for statement in Tables(number).create():
            connection.execute(statement)
    return Tables(number)


def _prepare(space: VectorSpace, points: Sequence[Point]) -> list[_Row]:
    check_points(space, points)
    return [_Row(point=point, vector=_padded(point.vector), words=" ".join(words.split(point.passage.text))) for point in points]


def _padded(vector: bytes) -> bytes:
    """With zeros to a whole number of bytes of bits, which changes no cosine."""
    return vector + bytes(-len(vector) % (4 * EIGHT))


def _upsert(connection: apsw.Connection, tables: Tables, rows: Sequence[_Row]) -> None:
    places: dict[tuple[str, str, int], tuple[int, int]] = {}
    for row in rows:
        passage = row.point.passage
        edition = passage.collection, passage.file, passage.generation
        place = places.get(edition) or places.setdefault(edition, _place(connection, tables, *edition))
        there = connection.execute(f"SELECT id FROM {tables.points} WHERE edition = ? AND key = ?", (place[1], passage.id)).get  # noqa: S608
        if there is not None:
            _remove(connection, tables, f"({there})")
        _insert(connection, tables, place, row)


def _place(connection: apsw.Connection, tables: Tables, collection: str, file: str, generation: int) -> tuple[int, int]:
    """The numbers of a collection and of an edition, made where they are missing."""
    connection.execute("INSERT INTO homes (collection) VALUES (?) ON CONFLICT DO NOTHING", (collection,))
    home: int = connection.execute("SELECT id FROM homes WHERE collection = ?", (collection,)).get
    edition = tables.space, home, file, generation
    connection.execute("INSERT INTO editions (space, home, file, generation) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING", edition)
    number: int = connection.execute("SELECT id FROM editions WHERE space = ? AND home = ? AND file = ? AND generation = ?", edition).get
    return home, number


def _insert(connection: apsw.Connection, tables: Tables, place: tuple[int, int], row: _Row) -> None:
    passage, (home, edition) = row.point.passage, place
    headings, pages = (msgspec.json.encode(listed).decode() for listed in (passage.headings, passage.pages))
    columns = "home, edition, key, position, text, headings, pages, metadata, vector"
    values = (home, edition, passage.id, passage.position, passage.text, headings, pages, passage.metadata, row.vector)
    connection.execute(f"INSERT INTO {tables.points} ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", values)  # noqa: S608
    number = connection.last_insert_rowid()
    signs = f"INSERT INTO {tables.signs} (id, edition, bits) VALUES (?, ?, vec_quantize_binary(vec_f32(?)))"  # noqa: S608
    connection.execute(signs, (number, edition, row.vector))
    indexed = f"INSERT INTO {tables.words} (rowid, home, words) VALUES (?, ?, ?)"  # noqa: S608
    connection.execute(indexed, (number, home_word(home), row.words))


def _delete(connection: apsw.Connection, tables: Tables, selection: Selection) -> int:
    """Some of what is selected, and the editions that are empty then."""
    condition, bindings = conditions(selection, tables.space)
    sql = f"SELECT id FROM {tables.points} WHERE {condition} LIMIT {ROWS_AT_ONCE}"  # noqa: S608
    rows = [row for (row,) in connection.execute(sql, bindings)]
    if rows:
        _remove(connection, tables, f"({', '.join(map(str, rows))})")
    empty = f"NOT EXISTS (SELECT 1 FROM {tables.points} WHERE edition = editions.id)"  # noqa: S608
    within = "space = ? AND home = (SELECT id FROM homes WHERE collection = ?)"
    connection.execute(f"DELETE FROM editions WHERE {within} AND {empty}", (tables.space, selection.collection))  # noqa: S608
    return len(rows)


def _remove(connection: apsw.Connection, tables: Tables, rows: str) -> None:
    connection.execute(f"DELETE FROM {tables.signs} WHERE id IN {rows}")  # noqa: S608
    connection.execute(f"DELETE FROM {tables.words} WHERE rowid IN {rows}")  # noqa: S608
    connection.execute(f"DELETE FROM {tables.points} WHERE id IN {rows}")  # noqa: S608
