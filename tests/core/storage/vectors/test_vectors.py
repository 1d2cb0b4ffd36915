"""Searching: the vectors port's contract, kept by every store on the same corpus."""

from pathlib import Path

import msgspec
import pytest

from core.errors import SettingsError
from core.settings import Settings
from core.storage.vectors import open_vectors
from core.storage.vectors.port import VECTOR_WEIGHT, Mode, Passage, Point, Query, Selection, VectorSpace, VectorStore, pack
from tests.core.storage.vectors.asking import ALL, ONE, having, ids, search, weights
from tests.core.storage.vectors.conftest import STORES, settings_of
from tests.core.storage.vectors.corpus import DIMENSIONS, nearest, point, points, vector


async def test_a_passage_comes_back_as_it_was_written(vectors: VectorStore, space: VectorSpace) -> None:
    passage = Passage(
        id="ein Schlüssel \"'",
        collection="base_1-A",
        file="Übersicht final report.txt",
        generation=2**53 - 1,
        position=12,
        text='Ünï\u0000cødé 😀 "quoted" \n\t 日本',
        headings=("Title", 'A "heading"'),
        pages=(3, 4),
        metadata='{"Author": "x", "author": 1, "date": "2026-11-29T12:00:00Z", "deep": [{"a": null}]}',
    )
    await vectors.upsert(space, [Point(passage=passage, vector=vector("x"))])
    for mode in Mode:
        hits = await search(vectors, space, {"base_1-A": {passage.file: passage.generation}}, "quoted", mode)
        assert [hit.passage for hit in hits] == [passage]
    assert await vectors.collections(space) == ["base_1-A"]


async def test_a_search_by_vector_is_what_brute_force_finds(vectors: VectorStore, space: VectorSpace) -> None:
    corpus = points()
    await vectors.upsert(space, corpus)
    for text in ("license", "東京", "a warranty of any kind"):
        for files in (["f0"], ["f1", "f4"], [f"f{number}" for number in range(7)]):
            hits = await search(vectors, space, {"base": dict.fromkeys(files, 1)}, text)
            found = [(hit.passage.id, hit.score) for hit in hits]
            expected = nearest((each for each in corpus if each.passage.file in files), vector(text))[:200]
            assert ids(hits) == [key for key, _ in expected]
            assert [score for _, score in found] == pytest.approx([score for _, score in expected], abs=2e-6)


@pytest.mark.parametrize(
    "question",
    [
        "warranties", "C++", "c#", "IT", "final report", "report.txt", "STRASSBURG", "東京", "京都", "日", "北京 学习", "한국어", "ภาษาไทย",
        "हिन्दी", "cafe", "Ωμεγα naive", '"', "OR NEAR(", "nobody* ^knew", "😀 emoji", "copyright patent redistribution",
    ],
)  # fmt: skip
async def test_a_search_by_words_finds_what_has_one_of_them(corpus_store: VectorStore, corpus_space: VectorSpace, question: str) -> None:
    hits = await search(corpus_store, corpus_space, ALL, question, Mode.KEYWORD)
    assert set(ids(hits)) == having(points(), question)
    scores = [hit.score for hit in hits]
    assert scores == sorted(scores, reverse=True)
    assert scores == pytest.approx([weights(points(), question)[key] for key in ids(hits)], abs=0.005)


async def test_a_hybrid_score_is_the_sum_of_its_halves_by_weight(corpus_store: VectorStore, corpus_space: VectorSpace) -> None:
    question = "grant of patent license"
    by_words = {hit.passage.id: hit.score for hit in await search(corpus_store, corpus_space, ALL, question, Mode.KEYWORD)}
    by_vector = dict(nearest(points(), vector(question)))
    for weight in (0.0, 0.5, VECTOR_WEIGHT, 1.0):
        hits = await search(corpus_store, corpus_space, ALL, question, Mode.HYBRID, vector_weight=weight)
        expected = {key: weight * by_vector[key] + (1 - weight) * by_words.get(key, 0) for key in by_vector}
        assert [hit.score for hit in hits] == pytest.approx([expected[key] for key in ids(hits)], abs=3e-6)
        assert hits[0].score == pytest.approx(max(expected.values()), abs=3e-6)
        assert ids(hits) == [hit.passage.id for hit in sorted(hits, key=lambda hit: (-hit.score, hit.passage.id))]


async def test_a_limit_cuts_and_changes_no_score(corpus_store: VectorStore, corpus_space: VectorSpace) -> None:
    for mode in Mode:
        whole = await search(corpus_store, corpus_space, ALL, "patent license", mode)
        assert await search(corpus_store, corpus_space, ALL, "patent license", mode, limit=3) == whole[:3]
        least = whole[4].score
        expected = [hit for hit in whole if hit.score >= least]
        assert await search(corpus_store, corpus_space, ALL, "patent license", mode, min_score=least) == expected


async def test_a_question_without_words_finds_nothing_by_words(corpus_store: VectorStore, corpus_space: VectorSpace) -> None:
    for text in ("", "!?", "xyzzy"):
        assert await search(corpus_store, corpus_space, ALL, text, Mode.KEYWORD) == []
        hybrid = await search(corpus_store, corpus_space, ALL, text, Mode.HYBRID)
        assert ids(hybrid) == ids(await search(corpus_store, corpus_space, ALL, text))
        assert max(hit.score for hit in hybrid) <= VECTOR_WEIGHT


async def test_a_lone_hit_that_has_nothing_to_do_with_the_query_scores_low(vectors: VectorStore, space: VectorSpace) -> None:
    opposite = pack([-1.0] + [0.0] * (DIMENSIONS - 1))
    await vectors.upsert(space, [Point(passage=point("something", "p").passage, vector=opposite)])
    query = Query(visible=ONE, mode=Mode.HYBRID, vector=pack([1.0] + [0.0] * (DIMENSIONS - 1)), text="else")
    assert [hit.score for hit in await vectors.search(space, query)] == [0.0]


async def test_files_with_names_alike_are_different_files(vectors: VectorStore, space: VectorSpace) -> None:
    names = ["report.txt", "final report.txt", "IT", "it", "the", "report_txt", " report.txt", "report.txt ", "報告.txt"]
    await vectors.upsert(space, [point("the same text", "same", file=name) for name in names])
    for name in names:
        for mode in Mode:
            hits = await search(vectors, space, {"base": {name: 1}}, "same", mode)
            assert [hit.passage.file for hit in hits] == [name]
    for gone, name in enumerate(names, 1):
        assert await vectors.delete(space, Selection(collection="base", files=(name,))) == 1
        assert await vectors.count(space, Selection(collection="base")) == len(names) - gone


async def test_only_what_is_visible_is_found(vectors: VectorStore, space: VectorSpace) -> None:
    await vectors.upsert(space, [*points(), *points(collection="secret"), *points(generation=2)])
    for mode in Mode:
        assert await search(vectors, space, {}, "license", mode) == []
        assert await search(vectors, space, {"base": {}}, "license", mode) == []
        assert await search(vectors, space, {"base": {"f1": 3, "nothing": 1}, "nowhere": {"f1": 1}}, "license", mode) == []
        both = await search(vectors, space, {"base": {"f1": 2}, "secret": {"f1": 1, "f2": 1}}, "license", mode)
        seen = {(hit.passage.collection, hit.passage.file, hit.passage.generation) for hit in both}
        assert seen == {("base", "f1", 2), ("secret", "f1", 1), ("secret", "f2", 1)}


async def test_what_is_hidden_takes_nobodys_place(vectors: VectorStore, space: VectorSpace) -> None:
    """More files than a filter names, and more hidden points near to the query than a search brings."""
    seen = [point(f"visible text {number}", f"v{number:03}", file=f"s{number}") for number in range(70)]
    near = Point(passage=point("visible text hidden", "h").passage, vector=vector("visible"))
    hidden = [
        msgspec.structs.replace(near, passage=msgspec.structs.replace(near.passage, id=f"h{number}", file=f"h{number % 3}"))
        for number in range(450)
    ]
    stale = [point(each.passage.text, each.passage.id, file=each.passage.file, generation=2) for each in seen]
    await vectors.upsert(space, [*seen, *hidden, *stale])
    visible = {"base": {**{f"s{number}": 1 for number in range(70)}, "h0": 9}}
    for mode in Mode:
        hits = await search(vectors, space, visible, "visible", mode)
        assert sorted(ids(hits)) == [each.passage.id for each in seen]
        assert {hit.passage.generation for hit in hits} == {1}


async def test_both_stores_answer_alike(request: pytest.FixtureRequest, tmp_path: Path, space: VectorSpace) -> None:
    answers = []
    for store in STORES:
        async with open_vectors(settings_of(request, store, tmp_path)) as vectors:
            await vectors.upsert(space, points())
            questions = ("patent license", "disclaimer of warranty", "C++", "東京の天気", "who may redistribute the work")
            answers.append([await search(vectors, space, ALL, question, Mode.HYBRID, limit=10) for question in questions])
            await vectors.drop(space)
    for embedded, weaviate in zip(*answers, strict=True):
        scores = {hit.passage.id: hit.score for hit in weaviate}
        assert all(hit.score == pytest.approx(scores.get(hit.passage.id, hit.score), abs=0.002) for hit in embedded)
        assert ids(embedded)[0] == ids(weaviate)[0]
        assert len({*ids(embedded)} & {*ids(weaviate)}) >= 9


async def test_a_url_that_is_none_is_said_at_the_start(tmp_path: Path) -> None:
    for url, grpc_url in (("weaviate:8080", ""), ("http://x", "http://x:y"), ("http://x:8080", "http://x:8080")):
        settings = Settings(weaviate_url=url, weaviate_grpc_url=grpc_url)
        with pytest.raises(SettingsError, match="PENSTOCK_WEAVIATE"):
            async with open_vectors(settings):
                pass
    (tmp_path / "data").write_text("a file")
    with pytest.raises(SettingsError, match="PENSTOCK_DATA_DIR"):
        async with open_vectors(Settings(data_dir=tmp_path / "data")):
            pass
