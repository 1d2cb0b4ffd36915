"""Records in MongoDB, through motor.

Compare-and-set is an ``update_one`` with the version in its filter, and unique indexes have the last word: nothing here needs a transaction
or findAndModify.
"""

import asyncio
import re
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

import msgspec
from bson.errors import BSONError
from motor.motor_asyncio import AsyncIOMotorClient, AsyncIOMotorCollection
from pymongo import ASCENDING, DESCENDING, ReplaceOne
from pymongo.errors import (
    AutoReconnect,
    BulkWriteError,
    ConfigurationError,
    ConnectionFailure,
    DocumentTooLarge,
    DuplicateKeyError,
    ExecutionTimeout,
    InvalidURI,
    OperationFailure,
    PyMongoError,
)

from core.errors import BadRequest, Conflict, PenstockError, SettingsError, Unavailable
from core.json.offload import map_in_turns
from core.storage.records.port import KEY, Added, Collection, Contains, Filter, In, Order, Range, Record, check_scalar, encode, fold_case

T = TypeVar("T")

DATABASE = "penstock"
SCHEMES = ("mongodb://", "mongodb+srv://")
SERVER_SELECTION_MS = 3_000
CONNECT_MS = 3_000
SOCKET_MS = 30_000

_DUPLICATE_KEY = 11000
_AUTHENTICATION = frozenset({13, 18})
_BOUNDS = ("gte", "gt", "lte", "lt")

_decode = msgspec.json.decode


class MongoRecords:
    """The port on MongoDB. Opaque fields are kept as JSON text: BSON cannot hold every JSON (big integers, keys with dots or dollars)."""

    def __init__(self, client: Any, database: Any) -> None:
        self._client = client
        self._database = database

    @classmethod
    def connect(cls, url: str) -> "MongoRecords":
        """In the database that a ``mongodb://`` URL names. Nothing is sent yet. Raises SettingsError."""
        return cls(*open_client(url))

    async def close(self) -> None:
        """Close its connections; the driver says goodbye to the server, and waits for that."""
        await asyncio.to_thread(self._client.close)

    async def setup(self, collections: Sequence[Collection]) -> None:
        """Make missing indexes, and with them their collections."""
        with explained():
            for collection in collections:
                for declared in collection.indexes:
                    fields = [(field, ASCENDING) for field in (*declared.fields, *(() if declared.unique else (KEY,)))]
                    await self._of(collection).create_index(fields, unique=declared.unique)

    async def ping(self) -> None:
        """Ask for an answer."""
        with explained():
            await self._database.command("ping")

    async def get(self, collection: Collection, key: str, kind: type[T]) -> T | None:
        """One document, by key."""
        with explained():
            found = await self._of(collection).find_one({KEY: check_scalar(key)})
        return None if found is None else msgspec.convert(_opened(collection, found), kind)

    async def find(
        self, collection: Collection, where: Filter, kind: type[T], *, order: Order | None = None, limit: int | None = None, skip: int = 0
    ) -> list[T]:
        """All that is asked for, in as few batches as the server allows."""
        if limit == 0:
            return []
        with explained():
            cursor = self._of(collection).find(_filter(where, order), limit=limit or 0, skip=skip)
            if order:
                way = DESCENDING if order.descending else ASCENDING
                cursor = cursor.sort([(order.field, way), (KEY, way)])
            found = await cursor.to_list(None)
        return await map_in_turns(lambda record: msgspec.convert(_opened(collection, record), kind), found)

    async def count(self, collection: Collection, where: Filter) -> int:
        """Counted by the server."""
        with explained():
            return int(await self._of(collection).count_documents(_filter(where)))

    async def insert(self, collection: Collection, records: Sequence[Record]) -> None:
        """In order; what went in before one that is refused is taken out again."""
        if not records:
            return
        with explained():
            try:
                await self._of(collection).insert_many(await map_in_turns(partial(_closed, collection), records))
            except BulkWriteError as error:
                refused = error.details["writeErrors"]  # one, where it stopped; that key, and those behind it, may be somebody else's
                done = [record[KEY] for record in (records[: refused[0]["index"]] if refused else records)]
                if done:
                    await self._of(collection).delete_many({KEY: {"$in": done}})
                raise

    async def insert_several(self, added: Added) -> None:
        """One collection after the other."""
        for collection, records in added:
            await self.insert(collection, records)

    async def put(self, collection: Collection, records: Sequence[Record]) -> None:
        """One bulk write."""
        if records:
            with explained():
                writes = [ReplaceOne({KEY: record[KEY]}, _closed(collection, record), upsert=True) for record in records]
                await self._of(collection).bulk_write(writes)

    async def update(self, collection: Collection, key: str, changes: Record, *, where: Filter | None = None) -> bool:
        """One ``update_one``, condition included."""
        with explained():
            result = await self._of(collection).update_one(
                {**_filter(where or {}), KEY: check_scalar(key)}, {"$set": _closed(collection, changes)}
            )
            return bool(result.matched_count)

    async def change(self, collection: Collection, where: Filter, changes: Record) -> int:
        """One ``update_many``."""
        with explained():
            return int((await self._of(collection).update_many(_filter(where), {"$set": _closed(collection, changes)})).matched_count)

    async def delete(self, collection: Collection, where: Filter) -> int:
        """One ``delete_many``."""
        if not where:
            message = "delete needs at least one condition"
            raise ValueError(message)
        with explained():
            return int((await self._of(collection).delete_many(_filter(where))).deleted_count)

    def _of(self, collection: Collection) -> "AsyncIOMotorCollection[Any]":
        return self._database[collection.name]  # type: ignore[no-any-return]


def open_client(url: str) -> tuple[Any, Any]:
    """A client of a ``mongodb://`` URL, and the database in its path (else: penstock). Nothing is sent yet. Raises SettingsError."""
    try:
        if not url.startswith(SCHEMES):
            raise InvalidURI("it does not begin with mongodb://")  # noqa: EM101, TRY003, TRY301 - the text of this one case
        timeouts: dict[str, Any] = {
            "serverSelectionTimeoutMS": SERVER_SELECTION_MS,
            "connectTimeoutMS": CONNECT_MS,
            "socketTimeoutMS": SOCKET_MS,
        }
        client: Any = AsyncIOMotorClient(url, appname="penstock", **timeouts)
        return client, client.get_default_database(DATABASE)
    except (InvalidURI, ConfigurationError, ValueError) as error:
        message = f"PENSTOCK_MONGO_URL cannot be used: {error}. Write mongodb://user:password@host:27017/penstock."
        raise SettingsError(message) from None


def _filter(where: Filter, order: Order | None = None) -> dict[str, Any]:
    query: dict[str, Any] = {}
    for field, wanted in where.items():
        if isinstance(wanted, In):
            query[field] = {"$in": [check_scalar(value) for value in wanted.values]}
        elif isinstance(wanted, Range):
            query[field] = {f"${bound}": check_scalar(getattr(wanted, bound)) for bound in _BOUNDS if getattr(wanted, bound) is not None}
        elif isinstance(wanted, Contains):
            query[field] = {"$regex": re.escape(fold_case(wanted.text))}
        else:
            query[field] = check_scalar(wanted)
    if order and order.after:
        value, key = order.after
        operator = "$lt" if order.descending else "$gt"
        query["$or"] = [{order.field: {operator: value}}, {order.field: value, KEY: {operator: key}}]
    return query


def _closed(collection: Collection, record: Record) -> Record:
    return {name: encode(value) if name in collection.opaque else value for name, value in record.items()}


def _opened(collection: Collection, found: Record) -> Record:
    for name in collection.opaque:
        if name in found:
            found[name] = _decode(found[name])
    return found


@contextmanager
def explained() -> Generator[None, None, None]:
    """pymongo's errors as ours."""
    try:
        yield
    except (PyMongoError, BSONError, UnicodeEncodeError, OverflowError) as error:
        raise _explanation(error) from None


def _explanation(error: Exception) -> PenstockError:
    if isinstance(error, DuplicateKeyError) or (isinstance(error, BulkWriteError) and _refused_as_duplicate(error)):
        return Conflict("Something with the same id or the same unique value is already there.")
    if isinstance(error, DocumentTooLarge):
        return BadRequest("That is too large to be stored in one piece: 16 MB at most.")
    if isinstance(error, BSONError | UnicodeEncodeError | OverflowError):
        return BadRequest(f"That cannot be stored: {error}.")
    if isinstance(error, OperationFailure) and error.code in _AUTHENTICATION:
        return Unavailable("MongoDB refuses our user. Check the user and password in PENSTOCK_MONGO_URL, and that user's rights.")
    if isinstance(error, ConnectionFailure | AutoReconnect | ExecutionTimeout):
        return Unavailable("MongoDB cannot be reached. Check PENSTOCK_MONGO_URL, and that the server is running.")
    return Unavailable(f"MongoDB failed: {error}.")


def _refused_as_duplicate(error: BulkWriteError) -> bool:
    return any(refused.get("code") == _DUPLICATE_KEY for refused in error.details.get("writeErrors", ()))
