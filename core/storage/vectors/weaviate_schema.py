"""How points are kept in Weaviate: a class for each space, a tenant for each collection, a closed list of properties.

What is compared is one whole value (``FIELD``): as words, ``report.txt`` would be found in "final report.txt", and a file named IT nowhere.
What is searched by words is one property of ready-made words (``words.split``), told apart at their spaces. All else is kept and no more;
metadata is one text, so that no value of it can decide a property's type for all that come after.
"""

import hashlib
import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
from weaviate.classes.config import Configure, DataType, Property, StopwordsPreset, Tokenization, VectorDistances
from weaviate.classes.data import DataObject
from weaviate.classes.query import Filter

from core.storage.vectors import words
from core.storage.vectors.port import Entry, Passage, Point, Selection, VectorSpace, check_points, unpack

ENTRY = ("key", "file", "generation")
PASSAGE = (*ENTRY, "position", "text", "headings", "pages", "metadata")
SOME = 1_000
BATCH_POINTS = 500
BATCH_BYTES = 8 << 20  # far below the 104,858,000 that gRPC takes

_NAMESPACE = uuid.UUID("b2a0f6a4-5c53-4d0e-9a43-8f6a5b6f1c70")
_READABLE = re.compile(r"[^A-Za-z0-9]+")


def class_name(space: VectorSpace) -> str:
    """Readable, and of this space alone."""
    digest = hashlib.sha256(space.model.encode()).hexdigest()[:12]
    return f"Penstock_{_READABLE.sub('_', space.model)[:64]}_{space.dimensions}_{digest}"


def class_settings(space: VectorSpace) -> dict[str, Any]:
    """What a class is made with."""
    return {
        "name": class_name(space),
        "properties": [
            *(_compared(name) for name in ("key", "file", "edition")),
            Property(name="generation", data_type=DataType.INT, index_filterable=True, index_range_filters=True),
            Property(name="position", data_type=DataType.INT, index_filterable=False),
            *(_kept(name) for name in ("text", "headings", "pages", "metadata")),
            Property(
                name="words",
                data_type=DataType.TEXT,
                tokenization=Tokenization.WHITESPACE,
                index_filterable=False,
                index_searchable=True,
            ),
        ],
        "vector_config": Configure.Vectors.self_provided(
            vector_index_config=Configure.VectorIndex.hnsw(distance_metric=VectorDistances.COSINE)
        ),
        "multi_tenancy_config": Configure.multi_tenancy(enabled=True, auto_tenant_creation=True),
        "inverted_index_config": Configure.inverted_index(stopwords_preset=StopwordsPreset.NONE),
    }


def edition(file: str, generation: int) -> str:
    """A file's generation, as one value: visibility is a filter on it."""
    return bracketed(f"{generation}:{file}")


def bracketed(value: str) -> str:
    """A value as it is compared: ``FIELD`` takes spaces away at both ends, where there are any."""
    return f"<{value}>"


def object_id(passage: Passage) -> str:
    """Always the same for the same passage of the same generation, so that writing it again replaces it."""
    return str(uuid.uuid5(_NAMESPACE, "\0".join((passage.collection, passage.file, str(passage.generation), passage.id))))


def batches(space: VectorSpace, points: Sequence[Point]) -> dict[str, list[list[DataObject[Any, Any]]]]:
    """Points as objects, by collection, in lots that a call may carry. Raises BadRequest for one that cannot be kept."""
    check_points(space, points)
    by_collection: dict[str, list[Point]] = {}
    for point in points:
        by_collection.setdefault(point.passage.collection, []).append(point)
    return {collection: [[_object(point) for point in lot] for lot in _lots(there)] for collection, there in by_collection.items()}


def passage(collection: str, properties: Mapping[str, Any]) -> Passage:
    """What an object holds."""
    return Passage(
        id=entry(properties).id,
        collection=collection,
        file=entry(properties).file,
        generation=int(properties["generation"]),
        position=int(properties["position"]),
        text=properties["text"],
        headings=msgspec.json.decode(properties["headings"], type=tuple[str, ...]),
        pages=msgspec.json.decode(properties["pages"], type=tuple[int, ...]),
        metadata=properties["metadata"],
    )


def entry(properties: Mapping[str, Any]) -> Entry:
    """The same for a consistency check."""
    return Entry(id=properties["key"][1:-1], file=properties["file"][1:-1], generation=int(properties["generation"]))


def filters(selection: Selection) -> Iterator[Any]:
    """A selection as filters, so that each takes a list that Weaviate can bear; None is all. Together they are the selection."""
    fixed = []
    if selection.generation is not None:
        fixed.append(Filter.by_property("generation").equal(selection.generation))
    if selection.before is not None:
        fixed.append(Filter.by_property("generation").less_than(selection.before))
    for files in _pieces(selection.files):
        for keys in _pieces(selection.ids):
            tests = [*fixed]
            if files is not None:
                tests.append(Filter.by_property("file").contains_any([*map(bracketed, files)]))
            if keys is not None:
                tests.append(Filter.by_property("key").contains_any([*map(bracketed, keys)]))
            yield Filter.all_of(tests) if tests else None


def _compared(name: str) -> Property:
    return Property(name=name, data_type=DataType.TEXT, tokenization=Tokenization.FIELD, index_filterable=True, index_searchable=False)


def _kept(name: str) -> Property:
    return Property(name=name, data_type=DataType.TEXT, index_filterable=False, index_searchable=False)


def _pieces(values: Sequence[str] | None) -> list[list[str] | None]:
    if values is None:
        return [None]
    different = list(dict.fromkeys(values))
    return [different[start : start + SOME] for start in range(0, len(different), SOME)]


def _lots(points: Sequence[Point]) -> Iterator[list[Point]]:
    lot: list[Point] = []
    size = 0
    for point in points:
        weight = len(point.vector) + 3 * len(point.passage.text) + len(point.passage.metadata)
        if lot and (len(lot) >= BATCH_POINTS or size + weight > BATCH_BYTES):
            yield lot
            lot, size = [], 0
        lot.append(point)
        size += weight
    yield lot


def _object(point: Point) -> DataObject[Any, Any]:
    kept = point.passage
    properties = {
        "key": bracketed(kept.id),
        "file": bracketed(kept.file),
        "generation": kept.generation,
        "edition": edition(kept.file, kept.generation),
        "position": kept.position,
        "text": kept.text,
        "words": " ".join(words.split(kept.text)),
        "headings": msgspec.json.encode(kept.headings).decode(),
        "pages": msgspec.json.encode(kept.pages).decode(),
        "metadata": kept.metadata,
    }
    return DataObject(uuid=object_id(kept), properties=properties, vector=unpack(point.vector).tolist())
