"""Points as they come and go: the vectors port's contract, kept by every store."""

import asyncio

import msgspec
import pytest

from core.errors import BadRequest
from core.storage.vectors.port import Entry, Mode, Point, Query, Selection, VectorSpace, VectorStore, pack
from tests.core.storage.vectors.asking import ONE, entries, having, ids, search
from tests.core.storage.vectors.corpus import DIMENSIONS, nearest, point, points, vector


async def test_writing_again_replaces(vectors: VectorStore, space: VectorSpace) -> None:
    await vectors.upsert(space, [point("an apple", "1"), point("a pear", "2")])
    for _ in range(2):
        await vectors.upsert(space, [point("a plum", "1")])
    assert await entries(vectors, space) == [("file", "1", 1), ("file", "2", 1)]
    assert ids(await search(vectors, space, ONE, "apple", Mode.KEYWORD)) == []
    assert ids(await search(vectors, space, ONE, "plum", Mode.KEYWORD)) == ["1"]
    best, other = await search(vectors, space, ONE, "a plum")
    assert (best.passage.id, best.passage.text, other.passage.id) == ("1", "a plum", "2")
    assert best.score == pytest.approx(1)


async def test_the_same_twice_in_one_call_is_one(vectors: VectorStore, space: VectorSpace) -> None:
    await vectors.upsert(space, [point("first", "1"), point("second", "1")])
    assert [hit.passage.text for hit in await search(vectors, space, ONE, "second")] == ["second"]
    assert await vectors.count(space, Selection(collection="base")) == 1


async def test_deletes_what_is_selected_and_nothing_else(vectors: VectorStore, space: VectorSpace) -> None:
    await vectors.upsert(space, [*points(), *points(generation=2), *points(collection="other")])
    total = len(points())
    of_f1 = len([each for each in points() if each.passage.file == "f1"])

    async def deleted(expected: int, **selected: object) -> None:
        selection = msgspec.convert({"collection": "base", **selected}, Selection)
        before = await vectors.count(space, Selection(collection="base"))
        assert await vectors.count(space, selection) == expected
        assert await vectors.delete(space, selection) == expected
        assert await vectors.count(space, selection) == 0
        assert await vectors.count(space, Selection(collection="base")) == before - expected

    await deleted(0, files=["nothing"])
    await deleted(0, ids=[])
    await deleted(of_f1, files=["f1"], before=2)
    await deleted(2, ids=["p0000", "p0002", "nothing"], generation=1)
    await deleted(1, files=["f0", "f3"], ids=["p0000", "p0002"])
    await deleted(of_f1, files=["f1"])
    await deleted(total - of_f1 - 2, generation=1)
    assert {generation for _, _, generation in await entries(vectors, space)} == {2}
    assert await vectors.delete(space, Selection(collection="base")) > 0
    assert await entries(vectors, space) == []
    assert await vectors.collections(space) == ["other"]
    assert await vectors.count(space, Selection(collection="other")) == total


async def test_deleting_and_adding_again_leaves_no_orphan(vectors: VectorStore, space: VectorSpace) -> None:
    for generation in (1, 2, 3):
        await vectors.upsert(space, points(generation=generation))
        await vectors.delete(space, Selection(collection="base", before=generation))
    await vectors.delete(space, Selection(collection="base", files=("f3",)))
    await vectors.upsert(space, [each for each in points(generation=3) if each.passage.file == "f3"])
    expected = sorted((each.passage.file, each.passage.id, 3) for each in points())
    assert await entries(vectors, space) == expected
    visible = {"base": {f"f{number}": 3 for number in range(7)}}
    assert ids(await search(vectors, space, visible, "x")) == [key for key, _ in nearest(points(), vector("x"))][:200]
    assert set(ids(await search(vectors, space, visible, "license", Mode.KEYWORD))) == having(points(), "license")


async def test_a_new_generation_is_seen_whole_or_not_at_all(vectors: VectorStore, space: VectorSpace) -> None:
    size, generations = 12, 5
    shown = {"file": 1}
    ended = asyncio.Event()

    def version(generation: int) -> list[Point]:
        return [point(f"clause {number} of {generation}", f"p{number}", generation=generation) for number in range(size)]

    async def asking() -> set[int]:
        seen: set[int] = set()
        while not ended.is_set():
            hits = await search(vectors, space, {"base": dict(shown)}, "clause", Mode.HYBRID)
            assert len(hits) == size
            (generation,) = {hit.passage.generation for hit in hits}
            seen.add(generation)
        return seen

    async def writing() -> None:
        for generation in range(2, generations + 1):
            for each in version(generation):
                await vectors.upsert(space, [each])
            shown["file"] = generation
        ended.set()

    await vectors.upsert(space, version(1))
    *seen, _ = await asyncio.gather(asking(), asking(), writing())
    assert len(set[int]().union(*(each for each in seen if each))) > 1
    assert await vectors.delete(space, Selection(collection="base", before=generations)) == size * (generations - 1)
    assert len(await search(vectors, space, {"base": shown}, "clause", Mode.HYBRID)) == size


async def test_ten_thousand_go_at_once(vectors: VectorStore, space: VectorSpace) -> None:
    many = [point(f"word {number}", f"p{number}", file=f"f{number % 2}") for number in range(10_600)]
    keep = point("word", "kept", file="other")
    await vectors.upsert(space, [*many, keep])
    assert await vectors.count(space, Selection(collection="base")) == 10_601
    assert len(await entries(vectors, space)) == 10_601
    assert await vectors.delete(space, Selection(collection="base", files=("f0", "f1"))) == 10_600
    assert await entries(vectors, space) == [("other", "kept", 1)]
    assert ids(await search(vectors, space, {"base": {"f0": 1, "f1": 1, "other": 1}}, "word", Mode.HYBRID)) == ["kept"]


@pytest.mark.parametrize("values", [[0.0] * DIMENSIONS, [float("nan")] * DIMENSIONS, [float("inf")] + [0.0] * (DIMENSIONS - 1), [1.0, 0.0]])
async def test_a_vector_that_is_near_to_nothing_is_refused(vectors: VectorStore, space: VectorSpace, values: list[float]) -> None:
    with pytest.raises(BadRequest, match="Embed"):
        await vectors.upsert(space, [point("good", "1"), Point(passage=point("bad", "2").passage, vector=pack(values))])
    with pytest.raises(BadRequest, match="Embed"):
        await vectors.search(space, Query(visible=ONE, vector=pack(values)))
    assert await entries(vectors, space) == []


async def test_a_collection_that_cannot_be_named_is_refused(vectors: VectorStore, space: VectorSpace) -> None:
    for name in ("", "a b", "x" * 65, "../x", "ü"):
        with pytest.raises(BadRequest, match="letters"):
            await vectors.upsert(space, [point("x", "1", collection=name)])
        with pytest.raises(BadRequest, match="letters"):
            await search(vectors, space, {name: {"file": 1}}, "x")
        with pytest.raises(BadRequest, match="letters"):
            await vectors.delete(space, Selection(collection=name))


async def test_half_a_character_is_refused(vectors: VectorStore, space: VectorSpace) -> None:
    with pytest.raises(BadRequest, match="surrogate"):
        await vectors.upsert(space, [Point(passage=point("x", "\ud800").passage, vector=vector("x"))])
    passage = msgspec.structs.replace(point("x", "1").passage, text="\ud800")
    with pytest.raises(BadRequest, match="surrogate"):
        await vectors.upsert(space, [Point(passage=passage, vector=vector("x"))])


async def test_spaces_know_nothing_of_each_other(vectors: VectorStore, space: VectorSpace) -> None:
    smaller = VectorSpace(model=space.model, dimensions=8)
    await vectors.upsert(space, [point("x", "1")])
    query = Query(visible=ONE, vector=pack([1.0] * 8), text="x")
    assert await vectors.search(smaller, query) == []
    assert await vectors.count(smaller, Selection(collection="base")) == 0
    assert await vectors.delete(smaller, Selection(collection="base", generation=1)) == 0
    assert await vectors.delete(smaller, Selection(collection="base")) == 0
    assert await vectors.collections(smaller) == []
    assert [entry async for entry in vectors.entries(smaller, "base")] == []
    await vectors.upsert(smaller, [Point(passage=point("x", "small").passage, vector=pack([1.0] * 8))])
    assert ids(await vectors.search(smaller, query)) == ["small"]
    await vectors.drop(smaller)
    assert await vectors.search(smaller, query) == []
    assert [entry async for entry in vectors.entries(space, "base")] == [Entry(id="1", file="file", generation=1)]
    await vectors.upsert(smaller, [Point(passage=point("x", "small").passage, vector=pack([1.0] * 8))])
    assert ids(await vectors.search(smaller, query)) == ["small"]
    await vectors.drop(smaller)


async def test_a_space_is_made_by_several_at_once(vectors: VectorStore) -> None:
    new = VectorSpace(model="made by several", dimensions=8)
    await asyncio.gather(*(vectors.setup(new) for _ in range(5)))
    await vectors.drop(new)
    await vectors.ping()
