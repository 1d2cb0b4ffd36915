"""The documents port: one contract, kept by every store."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from core.errors import BadRequest, Conflict, SettingsError, Unavailable
from core.settings import Settings
from core.storage import open_records
from core.storage.records.port import Collection, Contains, In, Index, Order, Range, Record, Records, fold_case

BOOKS = Collection("books", indexes=(Index(("shelf", "year")), Index(("code",), unique=True)), opaque=("notes",))


@pytest.fixture
async def books(records: Records) -> Records:
    await records.setup([BOOKS])
    return records


def book(key: str, **fields: Any) -> Record:
    return {"_id": key, "shelf": "a", "year": 1900, "code": f"code of {key}", "version": 1, **fields}


async def keys(books: Records, where: dict[str, Any], **options: Any) -> list[str]:
    return [record["_id"] for record in await books.find(BOOKS, where, Record, **options)]


async def test_a_record_comes_back_as_it_was_inserted(books: Records) -> None:
    record = book("1", title="Ünï\u0000cødé 😀 \"'", price=1.5, sold=True, author=None, tags=["x", {"y": [1]}])
    await books.insert(BOOKS, [record])
    assert await books.get(BOOKS, "1", Record) == record
    assert await books.find(BOOKS, {"_id": "1"}, Record) == [record]


async def test_an_opaque_field_holds_any_json(books: Records) -> None:
    notes = {"$set": {"a.b": 2**200, "": [-0.0, 5e-324, 1e308, None, True]}, "nul\u0000key": "\u2028\U0001f600", "deep": [[[[{}]]]]}
    await books.insert(BOOKS, [book("1", notes=notes)])
    found = await books.get(BOOKS, "1", Record)
    assert found is not None
    assert repr(found["notes"]) == repr(notes)


async def test_what_is_not_there_is_none(books: Records) -> None:
    assert await books.get(BOOKS, "nothing", Record) is None
    assert await books.find(BOOKS, {"shelf": "nowhere"}, Record) == []
    assert await books.update(BOOKS, "nothing", {"year": 1}) is False
    assert await books.delete(BOOKS, {"_id": "nothing"}) == 0
    assert await books.count(BOOKS, {}) == 0


@pytest.mark.parametrize("operator", [{"$ne": None}, ["1"], {"$gt": ""}])
async def test_a_clients_json_in_the_place_of_a_value_is_no_operator(books: Records, operator: Any) -> None:
    await books.insert(BOOKS, [book("1")])
    for asking in (
        books.get(BOOKS, operator, Record),
        books.update(BOOKS, operator, {"year": 1}),
        books.find(BOOKS, {"shelf": operator}, Record),
        books.delete(BOOKS, {"shelf": "a", "code": In((operator,))}),
    ):
        with pytest.raises(BadRequest):
            await asking
    assert await books.get(BOOKS, "1", Record) == book("1")


async def test_filters_by_equality_membership_range_and_null(books: Records) -> None:
    await books.insert(BOOKS, [book(str(year), year=year, author=None if year < 1902 else "me") for year in range(1900, 1910)])
    assert sorted(await keys(books, {"year": 1903})) == ["1903"]
    assert sorted(await keys(books, {"year": In((1901, 1905, 2000))})) == ["1901", "1905"]
    assert sorted(await keys(books, {"year": In(())})) == []
    assert sorted(await keys(books, {"year": Range(gte=1907)})) == ["1907", "1908", "1909"]
    assert sorted(await keys(books, {"year": Range(gt=1903, lt=1905)})) == ["1904"]
    assert sorted(await keys(books, {"year": Range(lte=1901), "shelf": "a"})) == ["1900", "1901"]
    assert sorted(await keys(books, {"author": None})) == ["1900", "1901"]
    assert await books.count(BOOKS, {"year": Range(gte=1905)}) == 5
    assert await books.count(BOOKS, {}) == 10


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("STRASSE", ["1"]),
        ("straße", ["1"]),
        ("50% o", ["2"]),
        (".*", ["3"]),
        ("a\\b [c](d)?", ["3"]),
        ("$^|", ["3"]),
        ("_", []),
        ("ÉTÉ", ["4"]),
        ("e\u0301te\u0301", ["4"]),
        ("\nend", ["4"]),
        ("ΌΣΟΣ", ["5"]),
        ("Nul\0", ["5"]),
        ("\U0001f600'\"", ["5"]),
        ("", ["1", "2", "3", "4", "5"]),
    ],
)
async def test_a_text_is_found_whatever_its_case_and_means_nothing_but_itself(books: Records, text: str, wanted: list[str]) -> None:
    titles = ["Hauptstraße 7", "50% off", "a.*b A\\B [C](D)? {2} $^|", "l'été\nEND", "όσος \U0001f600'\" nul\0"]
    await books.insert(
        BOOKS, [book(str(n), search=fold_case(title)) for n, title in enumerate(titles, 1)] + [book("6", search=None), book("7")]
    )
    assert sorted(await keys(books, {"search": Contains(text)})) == wanted
    assert sorted(await keys(books, {"search": Contains(text), "shelf": "a"})) == wanted
    assert await books.count(BOOKS, {"search": Contains(text), "shelf": "b"}) == 0


@pytest.mark.parametrize("descending", [False, True])
async def test_pages_meet_without_gap_or_repetition(books: Records, descending: bool) -> None:  # noqa: FBT001
    await books.insert(BOOKS, [book(f"{number:02}", year=1900 + number // 4) for number in range(20)])
    expected = sorted((f"{number:02}" for number in range(20)), reverse=descending)
    seen: list[str] = []
    after = None
    while page := await books.find(BOOKS, {"shelf": "a"}, Record, order=Order("year", descending=descending, after=after), limit=3):
        seen += [record["_id"] for record in page]
        after = (page[-1]["year"], page[-1]["_id"])
    assert seen == expected


async def test_so_many_as_asked_are_left_out_at_the_beginning(books: Records) -> None:
    await books.insert(BOOKS, [book(str(number), year=number) for number in range(5)])
    assert await keys(books, {"shelf": "a"}, order=Order("year"), limit=2, skip=1) == ["1", "2"]
    assert await keys(books, {}, order=Order("year", descending=True), skip=3) == ["1", "0"]
    assert await keys(books, {}, order=Order("year"), skip=9) == []


async def test_a_limit_of_nothing_gives_nothing(books: Records) -> None:
    await books.insert(BOOKS, [book("1")])
    assert await books.find(BOOKS, {}, Record, limit=0) == []


async def test_a_taken_key_or_unique_value_is_a_conflict_and_nothing_of_the_insert_stays(books: Records) -> None:
    await books.insert(BOOKS, [book("1", code="x"), book("5")])
    for taken in (book("1"), book("3", code="x")):
        with pytest.raises(Conflict):
            await books.insert(BOOKS, [book("2"), taken, book("4"), book("5")])
        assert sorted(await keys(books, {})) == ["1", "5"]


async def test_several_collections_are_added_to_in_order_and_nothing_behind_one_that_is_refused(books: Records) -> None:
    shelves = Collection("shelves")
    await books.setup([shelves])
    await books.insert_several(((BOOKS, [book("1")]), (shelves, [{"_id": "a"}])))
    assert await books.get(shelves, "a", Record) == {"_id": "a"}
    with pytest.raises(Conflict):
        await books.insert_several(((BOOKS, [book("2"), book("1")]), (shelves, [{"_id": "b"}])))
    assert await keys(books, {}) == ["1"]
    assert await books.get(shelves, "b", Record) is None
    await books.insert_several(((BOOKS, []), (shelves, [{"_id": "b"}])))
    assert await books.count(shelves, {}) == 2


async def test_put_writes_over_what_is_there_and_adds_what_is_not(books: Records) -> None:
    await books.insert(BOOKS, [book("1", year=1, old=True), book("2")])
    await books.put(BOOKS, [book("1", year=2), book("3")])
    assert await books.get(BOOKS, "1", Record) == book("1", year=2)
    assert sorted(await keys(books, {})) == ["1", "2", "3"]


async def test_put_may_not_take_a_unique_value_either(atomic_records: Records) -> None:
    """FerretDB refuses it too, in an answer that the driver cannot read."""
    await atomic_records.setup([BOOKS])
    await atomic_records.insert(BOOKS, [book("1")])
    with pytest.raises(Conflict):
        await atomic_records.put(BOOKS, [book("4", code="code of 1")])


async def test_an_update_sets_some_fields_and_leaves_the_others(books: Records) -> None:
    await books.insert(BOOKS, [book("1", notes={"a": 2**70}), book("2")])
    assert await books.update(BOOKS, "1", {"year": 2000, "new": [1], "notes": {"b.c": {"$d": None}}})
    assert await books.get(BOOKS, "1", Record) == book("1", year=2000, new=[1], notes={"b.c": {"$d": None}})
    assert await books.get(BOOKS, "2", Record) == book("2")


async def test_a_change_sets_some_fields_of_all_that_meet_every_condition(books: Records) -> None:
    await books.insert(BOOKS, [book(str(number), year=number, notes={"n": number}) for number in range(4)])
    assert await books.change(BOOKS, {"shelf": "a", "year": Range(gte=1, lte=2)}, {"shelf": "b", "notes": None}) == 2
    assert sorted(await keys(books, {"shelf": "b"})) == ["1", "2"]
    assert await books.get(BOOKS, "1", Record) == book("1", year=1, shelf="b", notes=None)
    assert await books.get(BOOKS, "3", Record) == book("3", year=3, notes={"n": 3})
    assert await books.change(BOOKS, {"shelf": "c"}, {"year": 1}) == 0


async def test_compare_and_set_refuses_an_older_version(books: Records) -> None:
    await books.insert(BOOKS, [book("1")])
    assert await books.update(BOOKS, "1", {"year": 1, "version": 2}, where={"version": 1})
    assert not await books.update(BOOKS, "1", {"year": 2, "version": 2}, where={"version": 1})
    assert (await books.find(BOOKS, {}, Record))[0]["year"] == 1


async def test_an_update_that_changes_nothing_still_says_that_it_met_the_record(books: Records) -> None:
    await books.insert(BOOKS, [book("1")])
    assert await books.update(BOOKS, "1", {"year": 1900})


async def test_of_racing_writers_exactly_one_wins_each_version(atomic_records: Records) -> None:
    await atomic_records.setup([BOOKS])
    await atomic_records.insert(BOOKS, [book("1")])
    for version in range(1, 6):
        won = await asyncio.gather(
            *(
                atomic_records.update(BOOKS, "1", {"year": writer, "version": version + 1}, where={"version": version})
                for writer in range(20)
            )
        )
        assert won.count(True) == 1
        found = await atomic_records.get(BOOKS, "1", Record)
        assert found is not None
        assert found["year"] == won.index(True)


async def test_of_racing_inserts_of_one_unique_value_exactly_one_stays(books: Records) -> None:
    results = await asyncio.gather(*(books.insert(BOOKS, [book(str(number), code="x")]) for number in range(20)), return_exceptions=True)
    assert results.count(None) == 1
    assert all(isinstance(result, Conflict) for result in results if result is not None)
    assert await books.count(BOOKS, {"code": "x"}) == 1


async def test_delete_takes_what_meets_every_condition_and_needs_one(books: Records) -> None:
    await books.insert(BOOKS, [book(str(number), year=number) for number in range(6)])
    assert await books.delete(BOOKS, {"year": Range(lt=4), "_id": In(("0", "1", "5"))}) == 2
    assert sorted(await keys(books, {})) == ["2", "3", "4", "5"]
    with pytest.raises(ValueError, match="condition"):
        await books.delete(BOOKS, {})


async def test_what_json_cannot_hold_is_refused_and_harms_nobody_else(books: Records) -> None:
    good, bad = book("1"), book("2", notes="half a pair: \ud800")
    results = await asyncio.gather(books.insert(BOOKS, [good]), books.insert(BOOKS, [bad]), return_exceptions=True)
    assert results[0] is None
    assert isinstance(results[1], BadRequest)
    assert await keys(books, {}) == ["1"]


async def test_setting_up_again_and_by_several_at_once_changes_nothing(store_settings: Settings) -> None:
    async with open_records(store_settings) as one, open_records(store_settings) as other:
        await asyncio.gather(*(store.setup([BOOKS]) for store in (one, other, one, other)))
        await one.insert(BOOKS, [book("1")])
        await other.setup([BOOKS])
        await other.ping()
        assert await other.get(BOOKS, "1", Record) == book("1")


async def test_what_was_stored_is_there_after_reopening(store_settings: Settings) -> None:
    async with open_records(store_settings) as first:
        await first.setup([BOOKS])
        await first.insert(BOOKS, [book("1")])
    async with open_records(store_settings) as second:
        assert await second.get(BOOKS, "1", Record) == book("1")


async def test_a_mongodb_that_is_not_there_is_named_in_seconds(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="PENSTOCK_MONGO_URL"):
        async with asyncio.timeout(10), open_records(Settings(data_dir=tmp_path, mongo_url="mongodb://127.0.0.1:1/x")):
            pass


async def test_a_url_that_is_none_is_a_settings_error(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="PENSTOCK_MONGO_URL"):
        async with open_records(Settings(data_dir=tmp_path, mongo_url="localhost:27017")):
            pass
