"""Scores: where they come from, and how the two halves of a hybrid search become one.

*Vector*: (1 + cosine) / 2. It depends on the two texts alone: 1 is the same direction, 0.5 has nothing to do with it, 0 is the opposite.

*Keyword*: the passage's BM25 divided by the highest of this search. The best is always 1, and 0 has none of the words: BM25 has no highest
value that would mean the same in every collection.

*Hybrid*: weight x vector + (1 - weight) x keyword, a convex combination over theoretical minima (-1 for a cosine, 0 for BM25; arXiv
2210.11934). The vector half is divided by the highest cosine that there can be, not by the highest found: a lone hit that has nothing to do
with the query does not become a good one. A passage that only words have found has its true cosine; one that only its vector has found has
none of the words, or is behind the first POOL: 0.

Scores are rounded to six decimals, so that what differs only by the arithmetic of a store is a tie, and ties go by id.
"""

from collections.abc import Mapping
from typing import Any, TypeVar

from core.storage.vectors.port import POOL, Mode, Query

DECIMALS = 6

K = TypeVar("K", bound=Any)  # whatever can be put in order


def vector_score(cosine: float) -> float:
    """From -1..1 to 0..1; what rounding has pushed out of that is put back."""
    return min(1.0, max(0.0, (1 + cosine) / 2))


def keyword_scores(bm25: Mapping[K, float]) -> dict[K, float]:
    """From 0.. to 0..1. Where nothing weighs anything, all are 0."""
    highest = max(bm25.values(), default=0.0)
    return {key: max(0.0, weight) / highest if highest > 0 else 0.0 for key, weight in bm25.items()}


def first(scores: Mapping[K, float], limit: int = POOL) -> dict[K, float]:
    """The ``limit`` highest, best first, ties by key."""
    return dict(sorted(scores.items(), key=lambda item: (-item[1], item[0]))[:limit])


def rank(query: Query, cosines: Mapping[K, float], bm25: Mapping[K, float]) -> list[tuple[K, float]]:
    """Keys with scores, best first, as many as the query asks for and none below its ``min_score``.

    ``cosines``: of all that either half has found; ``bm25``: of what has some of the words.
    """
    by_vector = {key: vector_score(cosine) for key, cosine in cosines.items()}
    by_words = keyword_scores(bm25)
    if query.mode is Mode.VECTOR:
        scores = by_vector
    elif query.mode is Mode.KEYWORD:
        scores = by_words
    else:
        weight = query.vector_weight
        scores = {key: weight * by_vector.get(key, 0.0) + (1 - weight) * by_words.get(key, 0.0) for key in {**by_vector, **by_words}}
    ranked = first({key: round(score, DECIMALS) for key, score in scores.items()}, query.limit)
    return [(key, score) for key, score in ranked.items() if score >= query.min_score]
