"""Scores: where they come from, and how the two halves of a hybrid search become one.

*Vector*: (1 + cosine) / 2. It depends on the two texts alone: 1 is the same direction, 0.5 has nothing to do with it, 0 is the opposite.

*Keyword*: the passage's BM25 divided by the most that there can be for this question: the sum of what its words weigh, those included that
are nowhere. 0 has none of them; all, once each, in a passage as long as others, is 0.45; 1 would be all of them without end. A rare word
counts for more than a common one.

*Hybrid*: weight x vector + (1 - weight) x keyword, a convex combination over theoretical bounds (-1 and 1 for a cosine; arXiv 2210.11934).
Neither half is divided by the highest found: the best of what has little to do with the query does not become a good one, and how much is
added for a common word does not depend on whether anybody has the rare ones. A passage that only words have found has its true cosine; one
that only its vector has found has none of the words, or is behind the first POOL: 0.

Scores are rounded to six decimals, so that what differs only by the arithmetic of a store is a tie, and ties go by id.
"""

import math
from collections.abc import Mapping
from typing import Any, TypeVar

from core.storage.vectors.port import POOL, Mode, Query

DECIMALS = 6

K1, B = 1.2, 0.75
"""BM25's, as Weaviate and Lucene have them."""

K = TypeVar("K", bound=Any)  # whatever can be put in order


def vector_score(cosine: float) -> float:
    """From -1..1 to 0..1; what rounding has pushed out of that is put back."""
    return min(1.0, max(0.0, (1 + cosine) / 2))


def telling(total: int, having: int) -> float:
    """What a word weighs in BM25 where so many of all have it, as Weaviate and Lucene have it: nothing only where nothing is."""
    return math.log1p((total - having + 0.5) / (having + 0.5)) if total else 0.0


def keyword_scores(bm25: Mapping[K, float], most: float) -> dict[K, float]:
    """From 0.. to 0..1. Where nothing weighs anything, all are 0; what rounding has pushed beyond the most is put back."""
    return {key: min(1.0, max(0.0, weight) / most) if most > 0 else 0.0 for key, weight in bm25.items()}


def first(scores: Mapping[K, float], limit: int = POOL) -> dict[K, float]:
    """The ``limit`` highest, best first, ties by key."""
    return dict(sorted(scores.items(), key=lambda item: (-item[1], item[0]))[:limit])


def rank(query: Query, cosines: Mapping[K, float], bm25: Mapping[K, float], most: float) -> list[tuple[K, float]]:
    """Keys with scores, best first, as many as the query asks for and none below its ``min_score``.

    ``cosines``: of all that either half has found; ``bm25``: of what has some of the words; ``most``: the most that they could weigh.
    """
    by_vector = {key: vector_score(cosine) for key, cosine in cosines.items()}
    by_words = keyword_scores(bm25, most)
    if query.mode is Mode.VECTOR:
        scores = by_vector
    elif query.mode is Mode.KEYWORD:
        scores = by_words
    else:
        weight = query.vector_weight
        scores = {key: weight * by_vector.get(key, 0.0) + (1 - weight) * by_words.get(key, 0.0) for key in {**by_vector, **by_words}}
    ranked = first({key: round(score, DECIMALS) for key, score in scores.items()}, query.limit)
    return [(key, score) for key, score in ranked.items() if score >= query.min_score]
