"""Asking a store of vectors, in few words."""

from collections.abc import Sequence

import msgspec

from core.storage.vectors import words
from core.storage.vectors.port import Hit, Mode, Point, Query, VectorSpace, VectorStore, Visible
from pipelines import keyword_ranking
from tests.core.storage.vectors.corpus import vector

ALL: Visible = {"base": {f"f{number}": 1 for number in range(7)}}
ONE: Visible = {"base": {"file": 1}}


async def search(
    vectors: VectorStore, space: VectorSpace, visible: Visible, text: str, mode: Mode = Mode.VECTOR, **options: object
) -> list[Hit]:
    """For a text and its vector, as many hits as there can be."""
    query = msgspec.convert({"visible": visible, "mode": mode, "text": text, "limit": 200, **options}, Query)
    return await vectors.search(space, msgspec.structs.replace(query, vector=vector(text)))


def ids(hits: Sequence[Hit]) -> list[str]:
    """Of what was found, in its order."""
    return [hit.passage.id for hit in hits]


async def entries(vectors: VectorStore, space: VectorSpace, collection: str = "base") -> list[tuple[str, str, int]]:
    """File, id and generation of all that is in a collection."""
    return sorted([(entry.file, entry.id, entry.generation) async for entry in vectors.entries(space, collection)])


def having(among: Sequence[Point], text: str) -> set[str]:
    """Ids of what has one of a question's words."""
    return {each.passage.id for each in among if set(words.ask(text)) & set(words.split(each.passage.text))}


def weights(among: Sequence[Point], text: str) -> dict[str, float]:
    """Keyword scores of all, by id, by brute force."""
    scores = keyword_ranking.score(text, [each.passage.text for each in among])
    return dict(zip((each.passage.id for each in among), scores, strict=True))
