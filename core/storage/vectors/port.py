"""The vectors port: passages of files with their vectors, found again by meaning, by words, or by both.

What a query may see is told by the caller, never kept in the store: a file is written under a new generation beside the one that is seen,
and becomes visible when its own record names that generation (one compare-and-set in the records store, so at once, whatever happens to
the writer). Neither Weaviate nor several processes over one file could flip a mark on hundreds of points in one step. A caller reads which
generations are visible *before* it asks, so a query sees each file as it was then: whole, or not at all. What has become invisible must
therefore stay for SEARCH_S more, the longest that a query takes, before it is deleted; it is found by no later query.

How a score comes about: ``ranking``. What is a word: ``words``.
"""

import array
import math
import re
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from enum import StrEnum
from typing import Annotated, Protocol

import msgspec

from core.errors import BadRequest

POOL = 200
"""So many are taken of each half of a search, always: what comes behind them is in no result, and scores do not move with the limit."""

SEARCH_S = 10.0
"""A search that takes longer is given up."""

VECTOR_WEIGHT = 0.9
"""The vector's part of a hybrid score. Chosen on the collections of ``benchmarks/retrieval.py``: with less, common words of questions that
are sentences spoil what vectors find; with 0.9 to 0.97 both together find more than either, on each."""

_COLLECTION = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
_FLOAT_BYTES = 4

Visible = Mapping[str, Mapping[str, int]]


class Mode(StrEnum):
    """How a query looks for passages."""

    VECTOR = "vector"
    KEYWORD = "keyword"
    HYBRID = "hybrid"


class VectorSpace(msgspec.Struct, frozen=True, kw_only=True):
    """Where vectors can be compared: one embedding model at one size. Spaces know nothing of each other."""

    model: str
    dimensions: Annotated[int, msgspec.Meta(ge=1, le=16_384)]


class Passage(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of a file. ``headings``: those above it, from the title down; ``pages``: from 1; ``metadata``: JSON text, never looked into.

    ``id`` is one within its collection, file and generation: one and the same piece may be there in two generations.
    """

    id: str
    collection: str
    file: str
    generation: Annotated[int, msgspec.Meta(ge=1, lt=2**53)]
    position: int
    text: str
    headings: tuple[str, ...] = ()
    pages: tuple[int, ...] = ()
    metadata: str = "{}"


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """A passage and its vector: float32, little endian, one after the other (``pack``)."""

    passage: Passage
    vector: bytes


class Hit(msgspec.Struct, frozen=True, kw_only=True):
    """A passage that was found. ``score``: 0 to 1, higher is better."""

    passage: Passage
    score: float


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """What to look for. ``visible``: by collection, the files that may be seen, each with its generation; nothing else is.

    A filter by file is a smaller ``visible``. ``vector`` may be missing in keyword mode, ``text`` in vector mode. Hits below ``min_score``
    are left out. ``vector_weight``: the vector's part of a hybrid score, 0 to 1.
    """

    visible: Visible
    mode: Mode = Mode.HYBRID
    vector: bytes = b""
    text: str = ""
    limit: Annotated[int, msgspec.Meta(ge=1, le=POOL)] = 10
    min_score: float = 0.0
    vector_weight: Annotated[float, msgspec.Meta(ge=0, le=1)] = VECTOR_WEIGHT


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """Points of one collection that meet all that is given. ``before``: of an earlier generation than this."""

    collection: str
    files: tuple[str, ...] | None = None
    ids: tuple[str, ...] | None = None
    generation: int | None = None
    before: int | None = None


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A point as a consistency check compares it."""

    id: str
    file: str
    generation: int


class VectorStore(Protocol):
    """A store of points. Every verb raises Unavailable where the store cannot be reached, within seconds.

    A space or a collection that is not there is an empty one.
    """

    async def setup(self, space: VectorSpace) -> None:
        """Make a space where it is missing. Safe to repeat, also by several processes at once."""

    async def ping(self) -> None:
        """Answer, or raise Unavailable."""

    async def upsert(self, space: VectorSpace, points: Sequence[Point]) -> None:
        """Write points, new or not. Repeating it changes nothing; what was written before an error stays.

        Raises BadRequest for a vector of another size, of no direction (all zero), or with a value that is no finite number.
        """

    async def delete(self, space: VectorSpace, selection: Selection) -> int:
        """Remove all that is selected, however many, and say how many there were."""

    async def count(self, space: VectorSpace, selection: Selection) -> int:
        """How many are selected."""

    def entries(self, space: VectorSpace, collection: str) -> AsyncIterator[Entry]:
        """Every point of a collection, in any order."""

    async def collections(self, space: VectorSpace) -> list[str]:
        """The collections in which there is something, or was."""

    async def search(self, space: VectorSpace, query: Query) -> list[Hit]:
        """The best first, ties by id. Raises BadRequest for a vector that cannot be compared."""

    async def drop(self, space: VectorSpace) -> None:
        """Remove a space with all that is in it."""

    async def close(self) -> None:
        """Let go of everything."""


def pack(values: Sequence[float]) -> bytes:
    """Numbers as a vector's bytes."""
    packed = array.array("f", values)
    if sys.byteorder == "big":
        packed.byteswap()
    return packed.tobytes()


def unpack(vector: bytes) -> "array.array[float]":
    """A vector's numbers."""
    values = array.array("f")
    values.frombytes(vector)
    if sys.byteorder == "big":
        values.byteswap()
    return values


def check_vector(space: VectorSpace, vector: bytes) -> None:
    """Refuse what cannot be compared: the stores would take it, and rank it anywhere. Raises BadRequest."""
    if len(vector) != space.dimensions * _FLOAT_BYTES:
        message = (
            f"A vector of {len(vector) // _FLOAT_BYTES} numbers does not fit {space.model!r}, which has {space.dimensions}. "
            "Embed it with that model, or index the collection anew."
        )
        raise BadRequest(message)
    length = math.hypot(*unpack(vector))
    if not (math.isfinite(length) and length > 0):
        message = f"{space.model!r} gave a vector that is zero, infinite or not a number: it is near to nothing. Embed the text again."
        raise BadRequest(message)


def check_collection(name: str) -> None:
    """Refuse what not every store can name. Raises BadRequest."""
    if not _COLLECTION.fullmatch(name):
        message = f"A collection's id has 1 to 64 letters, digits, - and _; {name!r} is none."
        raise BadRequest(message)


def check_points(space: VectorSpace, points: Sequence[Point]) -> None:
    """Raises BadRequest for the first that cannot be kept."""
    for point in points:
        check_collection(point.passage.collection)
        check_vector(space, point.vector)
        try:
            passage = point.passage
            "".join((passage.id, passage.file, passage.text, passage.metadata, *passage.headings)).encode()
        except UnicodeEncodeError:
            message = "The text holds half of a surrogate pair, which is no character."
            raise BadRequest(message) from None


def check_query(space: VectorSpace, query: Query) -> None:
    """Raises BadRequest for what cannot be asked."""
    for collection in query.visible:
        check_collection(collection)
    if query.mode is not Mode.KEYWORD:
        check_vector(space, query.vector)
