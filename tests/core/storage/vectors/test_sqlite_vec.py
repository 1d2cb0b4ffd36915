"""What is promised of the embedded store beyond the port."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import apsw
import msgspec
import pytest

from core.errors import SettingsError, Unavailable
from core.storage.vectors import sqlite_vec_postings, sqlite_vec_search
from core.storage.vectors.port import Mode, Point, Query, Selection, VectorSpace
from core.storage.vectors.sqlite_vec import FILE, SqliteVectors
from pipelines import keyword_ranking
from tests.core.storage.vectors.corpus import nearest, point, vector


@pytest.fixture
async def store(tmp_path: Path, space: VectorSpace) -> AsyncIterator[SqliteVectors]:
    opened = await SqliteVectors.open(tmp_path)
    await opened.setup(space)
    yield opened
    await opened.close()


def many(number: int) -> list[Point]:
    draw = random.Random(number)
    files = [f"f{file}" for file in range(20)]
    return [
        point(f"text {index}", f"p{index:05}", file=draw.choice(files), generation=draw.choice((1, 2)), collection=draw.choice("ab"))
        for index in range(number)
    ]


async def test_every_filter_is_what_brute_force_finds(store: SqliteVectors, space: VectorSpace) -> None:
    corpus = many(900)
    await store.upsert(space, corpus)
    draw = random.Random(1)
    for _ in range(40):
        visible = {
            collection: {f"f{draw.randrange(22)}": draw.choice((1, 2, 3)) for _ in range(draw.choice((0, 1, 5, 40)))}
            for collection in draw.sample("abc", draw.randint(1, 3))
        }
        wanted = vector(str(draw.random()))
        among = [each for each in corpus if visible.get(each.passage.collection, {}).get(each.passage.file) == each.passage.generation]
        hits = await store.search(space, Query(visible=visible, mode=Mode.VECTOR, vector=wanted, limit=200))
        assert [hit.passage.id for hit in hits] == [key for key, _ in nearest(among, wanted)[:200]]
        by_words = await store.search(space, Query(visible=visible, mode=Mode.KEYWORD, text="text", limit=200))
        assert len(by_words) == min(200, len(among))
        assert {hit.passage.id for hit in by_words} <= {each.passage.id for each in among}


async def test_among_many_the_nearest_are_found_by_their_signs_first(
    store: SqliteVectors, space: VectorSpace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_vec_search, "EXACT_POINTS", 100)
    monkeypatch.setattr(sqlite_vec_search, "CANDIDATES", 500)
    corpus = many(2_000)
    await store.upsert(space, corpus)
    draw = random.Random(2)
    for visible in ({f"f{file}": 1 for file in range(20)}, {f"f{file}": 1 for file in range(15)}):
        among = [each for each in corpus if each.passage.collection == "a" and visible.get(each.passage.file) == each.passage.generation]
        assert len(among) > 300
        for _ in range(5):
            wanted = vector(str(draw.random()))
            hits = await store.search(space, Query(visible={"a": visible}, mode=Mode.VECTOR, vector=wanted, limit=10))
            exact = dict(nearest(among, wanted))
            assert len({hit.passage.id for hit in hits} & {*list(exact)[:10]}) >= 9
            assert [hit.score for hit in hits] == pytest.approx([exact[hit.passage.id] for hit in hits], abs=2e-6)


async def test_bits_in_memory_follow_what_another_process_writes_and_deletes(
    store: SqliteVectors, space: VectorSpace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_vec_search, "EXACT_POINTS", 10)
    monkeypatch.setattr(sqlite_vec_search, "CANDIDATES", 100)
    other = await SqliteVectors.open(tmp_path)
    there: dict[str, Point] = {}
    draw = random.Random(3)
    for turn in range(12):
        new = [point(f"text {turn} {number}", f"p{turn}-{number}", file=f"f{turn}") for number in range(40)]
        await other.upsert(space, new)
        there |= {each.passage.id: each for each in new}
        gone = f"f{draw.randrange(turn + 1)}"
        await other.delete(space, Selection(collection="base", files=(gone,)))
        there = {key: each for key, each in there.items() if each.passage.file != gone}
        wanted = vector(f"text {turn} 7")
        visible = {"base": {f"f{file}": 1 for file in range(12)}}
        hits = await store.search(space, Query(visible=visible, mode=Mode.VECTOR, vector=wanted, limit=5))
        best = [key for key, _ in nearest(list(there.values()), wanted)[:5]]
        assert len({hit.passage.id for hit in hits} & set(best)) >= min(4, len(best)), turn
        assert {hit.passage.id for hit in hits} <= there.keys()
    await other.close()


async def test_no_table_keeps_what_was_deleted(store: SqliteVectors, space: VectorSpace, tmp_path: Path) -> None:
    await store.upsert(space, many(300))
    await store.upsert(space, many(300))
    with closing(apsw.Connection(str(tmp_path / FILE))) as connection:
        counts = {name: f"SELECT count(*) FROM {name}" for name in ("points_1", "signs_1", "words_1_docsize")}  # noqa: S608 - names of our own
        assert {name: connection.execute(sql).get for name, sql in counts.items()} == dict.fromkeys(counts, 300)
        for collection in "ab":
            await store.delete(space, Selection(collection=collection))
        assert {name: connection.execute(sql).get for name, sql in counts.items()} == dict.fromkeys(counts, 0)
        assert connection.execute("SELECT count(*) FROM editions").get == 0


async def test_a_word_that_all_have_finds_all(store: SqliteVectors, space: VectorSpace) -> None:
    await store.upsert(space, [point(f"the {number}", str(number)) for number in range(9)])
    for text, found in (("the", 9), ("the 3", 9), ("3", 1), ("the nothing", 9)):
        hits = await store.search(space, Query(visible={"base": {"file": 1}}, mode=Mode.KEYWORD, text=text))
        assert len(hits) == found
        assert text != "the 3" or hits[0].passage.id == "3"


async def test_words_in_memory_follow_what_another_process_writes_and_deletes(
    store: SqliteVectors, space: VectorSpace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_vec_postings, "MOST_KEPT", 4_000)
    other = await SqliteVectors.open(tmp_path)
    draw = random.Random(4)
    vocabulary, chances = [f"w{rank}" for rank in range(60)], [1 / (rank + 3) for rank in range(60)]
    there: dict[tuple[str, str], Point] = {}
    kept = set[int]()
    for turn in range(14):
        for collection in "ab":
            new = [
                point(
                    " ".join(draw.choices(vocabulary, chances, k=draw.randint(1, 300))),
                    f"p{draw.randrange(200)}",
                    file=f"f{turn % 9}",
                    collection=collection,
                )
                for _ in range(30)
            ]
            await other.upsert(space, new)
            there |= {(collection + each.passage.file, each.passage.id): each for each in new}
        gone = f"f{draw.randrange(9)}"
        await other.delete(space, Selection(collection="a", files=(gone,)))
        there = {key: each for key, each in there.items() if key[0] != f"a{gone}"}
        text = " ".join([*draw.sample(vocabulary, 5), "nowhere"])
        seen = {f"f{file}": 1 for file in range(0, 9, 2)}
        query = Query(visible={"a": seen}, mode=Mode.KEYWORD, text=text, limit=200)
        hits = await store.search(space, query)
        kept |= {len(postings._kept) for postings in store._searcher._postings.values()}
        in_a = [each for each in there.values() if each.passage.collection == "a"]
        scores = keyword_ranking.score(text, [each.passage.text for each in in_a])
        expected = sorted(score for each, score in zip(in_a, scores, strict=True) if each.passage.file in seen and score)
        assert [hit.score for hit in hits] == pytest.approx(expected[::-1][:200], abs=2e-6), turn
        assert {hit.passage.text for hit in hits} <= {each.passage.text for each in in_a}
    assert max(kept) < len(vocabulary) // 2, "what was asked for longest ago is forgotten"
    await other.close()


async def test_a_file_of_the_first_version_is_brought_up_to_date(tmp_path: Path, space: VectorSpace) -> None:
    old = await SqliteVectors.open(tmp_path)
    await old.upsert(space, [point("an old passage", "1")])
    await old.close()
    with closing(apsw.Connection(str(tmp_path / FILE))) as connection:
        connection.execute(
            "DROP TABLE instances_1; CREATE VIRTUAL TABLE vocabulary_1 USING fts5vocab(words_1, row); PRAGMA user_version = 1"
        )
    store = await SqliteVectors.open(tmp_path)
    hits = await store.search(space, Query(visible={"base": {"file": 1}}, mode=Mode.KEYWORD, text="old"))
    assert [hit.passage.id for hit in hits] == ["1"]
    await store.drop(space)
    await store.close()
    with closing(apsw.Connection(str(tmp_path / FILE))) as connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE name GLOB '[a-z]*_1*' AND sql NOT NULL")]
    assert tables == []


async def test_another_processes_points_are_found_at_once(store: SqliteVectors, space: VectorSpace, tmp_path: Path) -> None:
    other = await SqliteVectors.open(tmp_path)
    query = Query(visible={"base": {"file": 1, "new": 1}}, vector=vector("x"), text="x")
    for number, file in enumerate(("file", "new", "file"), 1):
        await other.upsert(space, [point("x", str(number), file=file)])
        assert len(await store.search(space, query)) == number
    await other.drop(space)
    assert await store.search(space, query) == []
    await other.close()


async def test_several_writers_at_once_lose_nothing(store: SqliteVectors, space: VectorSpace, tmp_path: Path) -> None:
    other = await SqliteVectors.open(tmp_path)
    lots = [[point(f"text {number}", f"p{number}", file=f"f{lot}") for number in range(40)] for lot in range(6)]
    await asyncio.gather(*((other if index % 2 else store).upsert(space, lot) for index, lot in enumerate(lots)))
    assert await store.count(space, Selection(collection="base")) == 240
    await other.close()


async def test_a_store_that_is_closed_is_unavailable(tmp_path: Path, space: VectorSpace) -> None:
    store = await SqliteVectors.open(tmp_path)
    await store.close()
    with pytest.raises(Unavailable):
        await store.search(space, Query(visible={"base": {"file": 1}}, vector=vector("x")))


async def test_a_damaged_file_and_a_newer_one_are_refused(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"no database" * 1000)
    with pytest.raises(Unavailable, match=r"vectors\.db"):
        await SqliteVectors.open(tmp_path)
    (tmp_path / FILE).unlink()
    await (await SqliteVectors.open(tmp_path)).close()
    connection = apsw.Connection(str(tmp_path / FILE))
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(SettingsError, match="newer"):
        await SqliteVectors.open(tmp_path)


async def test_a_search_of_ten_thousand_files_has_room(store: SqliteVectors, space: VectorSpace) -> None:
    one = point("x", "1").passage
    points = [
        Point(passage=msgspec.structs.replace(one, file=f"f{number % 1500}", generation=1 + number // 1500), vector=vector("x"))
        for number in range(3_000)
    ]
    await store.upsert(space, points)
    visible = {"base": {f"f{number}": 1 + number % 2 for number in range(10_000)}}
    for mode in Mode:
        hits = await store.search(space, Query(visible=visible, mode=mode, vector=vector("x"), text="x", limit=200))
        assert len(hits) == 200
        assert all(visible["base"][hit.passage.file] == hit.passage.generation for hit in hits)
