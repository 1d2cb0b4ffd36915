"""Scores, over whatever the stores may find."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from core.storage.vectors.port import POOL, Mode, Query
from core.storage.vectors.ranking import first, keyword_scores, rank, telling, vector_score

KEYS = st.text("abcdef", min_size=1, max_size=3)
COSINES = st.dictionaries(KEYS, st.floats(-1.0001, 1.0001), max_size=30)
WEIGHTS = st.dictionaries(KEYS, st.floats(0, 1e3), max_size=30)
MOST = st.floats(1e-3, 1e4)
QUERIES = st.builds(
    Query,
    visible=st.just({}),
    mode=st.sampled_from(Mode),
    limit=st.integers(1, POOL),
    min_score=st.floats(0, 1),
    vector_weight=st.floats(0, 1),
)


@given(QUERIES, COSINES, WEIGHTS, MOST)
def test_scores_lie_between_0_and_1_fall_and_tie_by_key(
    query: Query, cosines: dict[str, float], bm25: dict[str, float], most: float
) -> None:
    ranked = rank(query, cosines, bm25, most)
    assert all(query.min_score <= score <= 1 for _, score in ranked)
    assert ranked == sorted(ranked, key=lambda item: (-item[1], item[0]))
    assert len(ranked) <= query.limit
    assert len(dict(ranked)) == len(ranked)


@given(QUERIES, COSINES, WEIGHTS, MOST)
def test_a_limit_is_the_head_of_all(query: Query, cosines: dict[str, float], bm25: dict[str, float], most: float) -> None:
    whole = rank(msgspec.structs.replace(query, limit=POOL), cosines, bm25, most)
    assert rank(query, cosines, bm25, most) == whole[: query.limit]


@given(COSINES, WEIGHTS, MOST)
def test_all_weight_on_one_half_is_that_half(cosines: dict[str, float], bm25: dict[str, float], most: float) -> None:
    by_mode = {mode: dict(rank(Query(visible={}, mode=mode, limit=POOL), cosines, bm25, most)) for mode in Mode}
    by_vector = dict(rank(Query(visible={}, vector_weight=1.0, limit=POOL), cosines, bm25, most))
    by_words = dict(rank(Query(visible={}, vector_weight=0.0, limit=POOL), cosines, bm25, most))
    assert {key: by_vector[key] for key in cosines} == by_mode[Mode.VECTOR]
    assert {key: by_words[key] for key in bm25} == by_mode[Mode.KEYWORD]


@given(WEIGHTS, MOST)
def test_what_others_have_changes_no_keyword_score(bm25: dict[str, float], most: float) -> None:
    scores = keyword_scores(bm25, most)
    assert all(keyword_scores({key: bm25[key]}, most) == {key: score} for key, score in scores.items())
    assert keyword_scores(bm25, 0) == dict.fromkeys(bm25, 0)


@given(st.integers(1, 10**6).flatmap(lambda total: st.tuples(st.just(total), st.integers(0, total), st.integers(0, total))))
def test_a_rarer_word_tells_more_and_none_tells_nothing(counts: tuple[int, int, int]) -> None:
    total, one, other = counts
    rare, common = sorted((one, other))
    assert telling(total, rare) >= telling(total, common) > 0 == telling(0, 0)


@given(st.floats(-1, 1), st.floats(-1, 1))
def test_a_nearer_vector_never_scores_less(one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert vector_score(low) <= vector_score(high)


def test_same_opposite_and_unrelated_have_their_fixed_scores() -> None:
    assert [vector_score(cosine) for cosine in (1, 0, -1)] == [1, 0.5, 0]


def test_the_first_are_the_highest() -> None:
    assert first({"b": 1.0, "a": 1.0, "c": 2.0}, 2) == {"c": 2.0, "a": 1.0}


def test_by_default_words_decide_between_what_is_about_as_near_and_lift_nothing_that_is_far() -> None:
    cosines = {"near": 0.6, "as near": 0.55, "far": 0.1}
    by_both = Query(visible={})
    all_words_once = {"most": 10.0, "bm25": 4.5}
    assert [key for key, _ in rank(by_both, cosines, {"as near": all_words_once["bm25"]}, all_words_once["most"])] == [
        "as near",
        "near",
        "far",
    ]
    assert [key for key, _ in rank(by_both, cosines, {"far": 1.0}, 10.0)] == ["near", "as near", "far"]
