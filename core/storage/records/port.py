"""The documents port: a handful of verbs over named collections, not a query language.

A record is a JSON object whose ``_id`` is its key. Each verb is atomic on its own; what must hold together is guarded by a condition in an
update (compare-and-set: the version in its filter) and by unique indexes, which have the last word.
"""

import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeVar

import msgspec

from core.errors import BadRequest

T = TypeVar("T")

KEY = "_id"

Record = dict[str, Any]
Value = str | int | float | bool | None


class Index(msgspec.Struct, frozen=True):
    """Fields that are looked up together, in this order."""

    fields: tuple[str, ...]
    unique: bool = False


class Collection(msgspec.Struct, frozen=True):
    """A noun's place in the store. ``opaque`` fields hold a client's JSON: it comes back exactly as it was given and is never searched."""

    name: str
    indexes: tuple[Index, ...] = ()
    opaque: tuple[str, ...] = ()


class In(msgspec.Struct, frozen=True):
    """Any of these values."""

    values: tuple[Value, ...]


class Range(msgspec.Struct, frozen=True, kw_only=True):
    """At least, more than, at most, less than; what is None is no bound. A field that is null or missing is in no range."""

    gte: Value = None
    gt: Value = None
    lte: Value = None
    lt: Value = None


class Contains(msgspec.Struct, frozen=True):
    """A text field that was stored ``folded`` holds this text somewhere, whatever its case; nothing in it means anything but itself.

    A noun that is searched keeps such a field beside the one it shows, of one text or of several with line ends between them.
    """

    text: str


Filter = Mapping[str, Value | In | Range | Contains]


Added = Sequence[tuple[Collection, Sequence[Record]]]


class Order(msgspec.Struct, frozen=True):
    """By one field, and by key among equals. ``after`` goes on behind a place: that field's value and the key there."""

    field: str
    descending: bool = False
    after: tuple[Value, str] | None = None


class Records(Protocol):
    """A store of records. Every verb raises Unavailable where the store cannot be reached or written."""

    async def setup(self, collections: Sequence[Collection]) -> None:
        """Make what is missing: collections and indexes. Safe to repeat, also by several processes at once."""

    async def ping(self) -> None:
        """Answer, or raise Unavailable."""

    async def get(self, collection: Collection, key: str, kind: type[T]) -> T | None:
        """One record, as a model or as a plain ``Record``."""

    async def find(
        self, collection: Collection, where: Filter, kind: type[T], *, order: Order | None = None, limit: int | None = None, skip: int = 0
    ) -> list[T]:
        """Records that meet every condition; without an order, in any. ``skip``: leave so many out at the beginning."""

    async def insert(self, collection: Collection, records: Sequence[Record]) -> None:
        """Add new records, all or none. Raises Conflict where a key or a unique index is taken."""

    async def insert_several(self, added: Added) -> None:
        """Add new records to several collections, in this order; where one is taken, Conflict and none of its collection nor of the next.

        What went into the collections before stays where the store has no transactions.
        """

    async def put(self, collection: Collection, records: Sequence[Record]) -> None:
        """Write whole records, new or not. Raises Conflict where a unique index is taken."""

    async def update(self, collection: Collection, key: str, changes: Record, *, where: Filter | None = None) -> bool:
        """Set some fields of one record if it is there and meets ``where`` (a version in it: compare-and-set), and say whether it did.

        Raises Conflict where a unique index is taken.
        """

    async def change(self, collection: Collection, where: Filter, changes: Record) -> int:
        """Set some fields of every record that meets every condition, and say how many there were."""

    async def delete(self, collection: Collection, where: Filter) -> int:
        """Remove what meets every condition (at least one), and say how many there were."""

    async def count(self, collection: Collection, where: Filter) -> int:
        """How many meet every condition."""

    async def close(self) -> None:
        """Let go of everything."""


def to_record(model: Any, *beside: msgspec.Struct, key: str = "", **fields: Any) -> Record:
    """A model as a record, its ``id`` the key where no other is given; models and fields that are kept ``beside`` it are in the same one.

    Only the model itself is taken apart: what its fields hold, each store writes in its own way. ``get`` and ``find`` give models back.
    """
    record: Record = {KEY: key or model.id, **msgspec.structs.asdict(model)}
    for other in beside:
        record.update(msgspec.structs.asdict(other))
    record.update(fields)
    return record


def check_scalar(value: Any) -> Any:
    """A value to look for. Raises BadRequest for an object or a list: a client's JSON in its place would be read as an operator."""
    if value is not None and not isinstance(value, str | int | float):
        message = "An id or a value to look for must be a text or a number."
        raise BadRequest(message)
    return value


def fold_case(text: str) -> str:
    """A text as it is kept to be searched: without cases (STRASSE and Straße are one), composed (NFC), without NULs."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold()).replace("\0", "")


def encode(value: Any) -> str:
    """JSON text, exact: integers of any size and every float come back as they were. Raises BadRequest for what JSON cannot hold."""
    try:
        return msgspec.json.encode(value).decode()
    except UnicodeEncodeError:
        message = "The text holds half of a surrogate pair, which is no character."
        raise BadRequest(message) from None
    except RecursionError:
        message = "The JSON is nested too deeply to be stored."
        raise BadRequest(message) from None
