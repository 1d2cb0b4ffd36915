"""A search of Weaviate: two halves of each collection, put together by ``ranking``.

Its own hybrid search is not asked: that ranks whatever its limit lets in, by scores that depend on what else is found. Each half is asked
with one limit, POOL, and what is compared on our side is the same as in the embedded store.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from weaviate.classes.query import Filter, MetadataQuery
from weaviate.exceptions import WeaviateBaseError

from core.storage.vectors import words
from core.storage.vectors.port import POOL, Hit, Mode, Query, unpack
from core.storage.vectors.ranking import first, rank, telling
from core.storage.vectors.weaviate_connection import is_missing
from core.storage.vectors.weaviate_schema import ENTRY, PASSAGE, edition, entry, passage

FEW_FILES = 64
"""So few visible files are named in a filter. Of more, what should not have been found is left out, and the search repeated without it."""

SCORE = MetadataQuery(score=True)

Key = tuple[str, str, str, str]
_Half = Callable[[Any], Awaitable[Any]]


async def search(space: Any, query: Query) -> list[Hit]:
    """``space``: the client's collection object. Raises the client's errors."""
    searches = [_Collection(space, name, files, query) for name, files in query.visible.items() if files]
    halves = await asyncio.gather(*(one.halves() for one in searches))
    near = first({key: cosine for cosines, *_ in halves for key, cosine in cosines.items()})
    found = first({key: weight for _, weights, _ in halves for key, weight in weights.items()})
    most = sum(max(weights) for weights in zip(*(highest for *_, highest in halves), strict=True))
    if query.mode is Mode.HYBRID:
        lacking = [key for key in found if key not in near]
        for cosines in await asyncio.gather(*(one.cosines(lacking) for one in searches)):
            near |= cosines
    ranked = rank(query, near, found, most)
    passages: dict[Key, Any] = {}
    for some in await asyncio.gather(*(one.passages([key for key, _ in ranked]) for one in searches)):
        passages |= some
    return [Hit(passage=passages[key], score=score) for key, score in ranked if key in passages]


class _Collection:
    """One collection's part in a search. A key is a passage's id and file, between equals its collection, and its id in Weaviate."""

    def __init__(self, space: Any, name: str, files: Mapping[str, int], query: Query) -> None:
        self._tenant = space.with_tenant(name)
        self._name = name
        self._files = files
        self._mode = query.mode
        self._vector = unpack(query.vector).tolist()
        self._words = words.ask(query.text) if query.mode is not Mode.VECTOR else []

    async def halves(self) -> tuple[dict[Key, float], dict[Key, float], list[float]]:
        """Cosines of the nearest, BM25 of those that have words, and the most that each word could weigh."""
        near, found, most = await asyncio.gather(self._near(), self._found(), self._telling())
        return (
            {self._key(one): 1 - one.metadata.distance for one in near},
            {self._key(one): one.metadata.score for one in found if one.metadata.score > 0},
            most,
        )

    async def cosines(self, keys: Sequence[Key]) -> dict[Key, float]:
        """Of those that are here."""
        ids = self._own(keys)
        found = await _or_nothing(self._by_vector(Filter.by_id().contains_any(ids))) if ids else ()
        return {self._key(one): 1 - one.metadata.distance for one in found}

    async def passages(self, keys: Sequence[Key]) -> dict[Key, Any]:
        """The whole of those that are here."""
        ids = self._own(keys)
        found = await _or_nothing(self._tenant.query.fetch_objects_by_ids(ids, limit=POOL, return_properties=list(PASSAGE))) if ids else ()
        return {self._key(one): passage(self._name, one.properties) for one in found}

    async def _near(self) -> Sequence[Any]:
        return () if self._mode is Mode.KEYWORD else await self._seen(self._by_vector)

    async def _found(self) -> Sequence[Any]:
        return await self._seen(self._by_words) if self._words else ()

    async def _telling(self) -> list[float]:
        """What each word weighs here at most. Nothing that Weaviate tells of a search says that; but it counts what has a word."""
        if not self._words:
            return []
        total, *having = await asyncio.gather(
            self._count(), *(self._count(Filter.by_property("words").equal(word)) for word in self._words)
        )
        return [telling(total, there) for there in having]

    async def _count(self, where: Any = None) -> int:
        try:
            return int((await self._tenant.aggregate.over_all(total_count=True, filters=where)).total_count)
        except WeaviateBaseError as error:
            if is_missing(error):
                return 0
            raise

    async def _seen(self, half: _Half) -> Sequence[Any]:
        """The first of a half that may be seen. Each round leaves out what it has found and may not be seen, so there is an end."""
        if len(self._files) <= FEW_FILES:
            return await _or_nothing(half(Filter.by_property("edition").contains_any([edition(*one) for one in self._files.items()])))
        hidden: dict[str, None] = {}
        while True:
            found = await _or_nothing(half(Filter.by_property("edition").contains_none(list(hidden)) if hidden else None))
            entries = [entry(one.properties) for one in found]
            unseen = {edition(each.file, each.generation): None for each in entries if self._files.get(each.file) != each.generation}
            if not unseen or len(found) < POOL:
                return [one for one, each in zip(found, entries, strict=True) if self._files.get(each.file) == each.generation]
            hidden |= unseen

    def _by_vector(self, where: Any) -> Awaitable[Any]:
        wanted = MetadataQuery(distance=True)
        asked: Awaitable[Any] = self._tenant.query.near_vector(
            self._vector, limit=POOL, filters=where, return_properties=list(ENTRY), return_metadata=wanted
        )
        return asked

    def _by_words(self, where: Any) -> Awaitable[Any]:
        asked: Awaitable[Any] = self._tenant.query.bm25(
            " ".join(self._words),
            query_properties=["words"],
            limit=POOL,
            filters=where,
            return_properties=list(ENTRY),
            return_metadata=SCORE,
        )
        return asked

    def _own(self, keys: Sequence[Key]) -> list[str]:
        return [key[-1] for key in keys if key[2] == self._name]

    def _key(self, one: Any) -> Key:
        known = entry(one.properties)
        return known.id, known.file, self._name, str(one.uuid)


async def _or_nothing(asked: Awaitable[Any]) -> Sequence[Any]:
    """Objects; of a collection that is not there, none."""
    try:
        found: Sequence[Any] = (await asked).objects
    except WeaviateBaseError as error:
        if is_missing(error):
            return ()
        raise
    return found
