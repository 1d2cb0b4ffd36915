"""Records in one SQLite file: WAL, several processes at once, one thread that reads and one that writes.

A record is a row of its key and its JSON text; declared indexes are indexes on expressions over that text, so that declaring one more is no
migration.
"""

import asyncio
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

import apsw
import msgspec

from core.storage.records.port import KEY, Added, Collection, Filter, Order, Record, check_scalar, encode
from core.storage.records.sqlite_connection import connect
from core.storage.records.sqlite_sql import conditions, index, ordering, table
from core.storage.records.sqlite_threads import SqliteThread, read, write

FILE = "penstock.db"
BETWEEN = ",\n"  # within a row's JSON there are no line ends
PIECE = 262_144
ROWS_AT_ONCE = 32

T = TypeVar("T")


@functools.cache
def _decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind)


class SqliteRecords:
    """The port on SQLite. Made by ``open``."""

    def __init__(self, reader: SqliteThread, writer: SqliteThread) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, folder: Path) -> "SqliteRecords":
        """The store in a data folder, made where it is missing.

        Raises SettingsError for a folder that cannot be used, Unavailable for a damaged file.
        """
        path = folder / FILE
        writer = await SqliteThread.start(lambda: connect(path), write)
        try:
            return cls(await SqliteThread.start(lambda: connect(path), read), writer)
        except BaseException:
            await writer.close()
            raise

    async def close(self) -> None:
        """End both threads, after what they were given before."""
        await asyncio.gather(self._reader.close(), self._writer.close())

    async def setup(self, collections: Sequence[Collection]) -> None:
        """Make missing tables and indexes."""
        statements = [table(collection) for collection in collections]
        statements += [index(collection, declared) for collection in collections for declared in collection.indexes]
        await self._writer.call(lambda connection: [connection.execute(statement) for statement in statements])

    async def ping(self) -> None:
        """Read something."""
        await self._reader.call(lambda connection: connection.execute("SELECT count(*) FROM sqlite_schema").get)

    async def get(self, collection: Collection, key: str, kind: type[T]) -> T | None:
        """One record, by key."""
        sql = f'SELECT body FROM "{collection.name}" WHERE key = ?'  # noqa: S608 - names come from declarations
        wanted = check_scalar(key)
        body = await self._reader.call(lambda connection: connection.execute(sql, (wanted,)).get)
        return None if body is None else _decoder(cast("Any", kind)).decode(body)

    async def find(
        self, collection: Collection, where: Filter, kind: type[T], *, order: Order | None = None, limit: int | None = None, skip: int = 0
    ) -> list[T]:
        """All rows come as one JSON text: one step of SQLite, so one hand-over of the interpreter's lock, however many they are."""
        test, bindings = conditions(where, order)
        inner = f'SELECT body FROM "{collection.name}" WHERE {test}{ordering(order)} LIMIT ? OFFSET ?'  # noqa: S608
        sql = f"SELECT group_concat(body, '{BETWEEN}') FROM ({inner})"  # noqa: S608
        bindings.extend((-1 if limit is None else limit, skip))
        found = await self._reader.call(lambda connection: connection.execute(sql, bindings).get)
        return [] if found is None else await _decoded(found, _decoder(list[kind]))  # type: ignore[valid-type]

    async def count(self, collection: Collection, where: Filter) -> int:
        """By the index where there is one."""
        test, bindings = conditions(where)
        sql = f'SELECT count(*) FROM "{collection.name}" WHERE {test}'  # noqa: S608
        return int(await self._reader.call(lambda connection: connection.execute(sql, bindings).get))

    async def insert(self, collection: Collection, records: Sequence[Record]) -> None:
        """In one transaction."""
        await self.insert_several(((collection, records),))

    async def insert_several(self, added: Added) -> None:
        """All in one transaction."""
        await self._writer.call(lambda connection: _insert(connection, added))

    async def put(self, collection: Collection, records: Sequence[Record]) -> None:
        """In one transaction."""
        upsert = " ON CONFLICT (key) DO UPDATE SET body = excluded.body"
        await self._writer.call(lambda connection: _insert(connection, ((collection, records),), upsert))

    async def update(self, collection: Collection, key: str, changes: Record, *, where: Filter | None = None) -> bool:
        """One statement, condition included."""
        return bool(await self.change(collection, {**(where or {}), KEY: key}, changes))

    async def change(self, collection: Collection, where: Filter, changes: Record) -> int:
        """One statement."""
        test, bindings = conditions(where)
        sets = ", ".join(f"'$.\"{field}\"', json(?)" for field in changes)
        sql = f'UPDATE "{collection.name}" SET body = json_set(body, {sets}) WHERE {test}'  # noqa: S608
        values = [*map(encode, changes.values()), *bindings]
        return await self._writer.call(lambda connection: _changed(connection, sql, values))

    async def delete(self, collection: Collection, where: Filter) -> int:
        """One statement."""
        if not where:
            message = "delete needs at least one condition"
            raise ValueError(message)
        test, bindings = conditions(where)
        sql = f'DELETE FROM "{collection.name}" WHERE {test}'  # noqa: S608
        return await self._writer.call(lambda connection: _changed(connection, sql, bindings))


async def _decoded(rows: str, decoder: msgspec.json.Decoder[list[T]]) -> list[T]:
    """Rows as models; of many some at a time, because each call of the decoder holds the event loop."""
    found: list[T] = []
    start, end = 0, 0
    while end >= 0:
        end = rows.find(BETWEEN, start + PIECE)
        found += decoder.decode(f"[{rows[start : end if end >= 0 else None]}]")
        start = end + len(BETWEEN)
        if end >= 0:
            await asyncio.sleep(0)
    return found


def _insert(connection: apsw.Connection, added: Added, where_taken: str = "") -> None:
    """Many rows in a statement: each step of SQLite is a hand-over of the interpreter's lock."""
    for collection, records in added:
        for start in range(0, len(records), ROWS_AT_ONCE):
            rows = records[start : start + ROWS_AT_ONCE]
            sql = f'INSERT INTO "{collection.name}" (key, body) VALUES {", ".join(["(?, ?)"] * len(rows))}{where_taken}'  # noqa: S608
            connection.execute(sql, [value for record in rows for value in (record[KEY], encode(record))])


def _changed(connection: apsw.Connection, sql: str, bindings: Sequence[Any]) -> int:
    connection.execute(sql, bindings)
    return connection.changes()
