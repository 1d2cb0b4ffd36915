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
from core.storage.vectors.ranking import first, rank
from core.storage.vectors.weaviate_connection import is_missing
from core.storage.vectors.weaviate_schema import ENTRY, PASSAGE, edition, entry, passage

FEW_FILES = 64
"""So few visible files are named in a filter. Of more, what should not have been found is left out, and the search repeated without it."""

Key = tuple[str, str, str, str]
_Half = Callable[[Any], Awaitable[Any]]


async def search(space: Any, query: Query) -> list[Hit]:
    """``space``: the client's collection object. Raises the client's errors."""
    searches = [_Collection(space, name, files, query) for name, files in query.visible.items() if files]
    halves = await asyncio.gather(*(one.halves() for one in searches))
    near = first({key: cosine for cosines, _ in halves for key, cosine in cosines.items()})
    found = first({key: weight for _, weights in halves for key, weight in weights.items()})
    if query.mode is Mode.HYBRID:
        lacking = [key for key in found if key not in near]
        for cosines in await asyncio.gather(*(one.cosines(lacking) for one in searches)):
            near |= cosines
    ranked = rank(query, near, found)
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
        self._question = " ".join(words.ask(query.text))

    async def halves(self) -> tuple[dict[Key, float], dict[Key, float]]:
        """Cosines of the nearest, and BM25 of those that have words."""
        near, found = await asyncio.gather(self._near(), self._found())
        return (
            {self._key(one): 1 - one.metadata.distance for one in near},
            {self._key(one): one.metadata.score for one in found if one.metadata.score > 0},
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
        return () if self._mode is Mode.VECTOR or not self._question else await self._seen(self._by_words)

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
        wanted = MetadataQuery(score=True)
        asked: Awaitable[Any] = self._tenant.query.bm25(
            self._question, query_properties=["words"], limit=POOL, filters=where, return_properties=list(ENTRY), return_metadata=wanted
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
