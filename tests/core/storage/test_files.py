"""Rows of files."""

import pytest

from core.ids import new_id
from core.models.files import File, FileStatus
from core.storage.files import Files
from core.storage.records.port import Records


@pytest.fixture
def rows(records: Records) -> Files:
    return Files(records)


async def added(rows: Files, user_id: str = "ada", name: str = "a.txt", sha256: str = "abc", created_at: int = 1) -> File:
    file = File(
        id=new_id(),
        user_id=user_id,
        filename=name,
        content_type="text/plain",
        size=1,
        hash=sha256,
        created_at=created_at,
        updated_at=created_at,
        metadata={"$big": 2**70, "a.b": [None, {"": 1.5}]},
    )
    await rows.insert(file)
    return file


async def test_a_file_comes_back_as_it_was_with_its_metadata(rows: Files) -> None:
    file = await added(rows)
    assert await rows.get(file.id) == file
    assert await rows.get(new_id()) is None


async def test_a_users_files_come_newest_first_and_in_pages(rows: Files) -> None:
    mine = [await added(rows, created_at=number // 2) for number in range(6)][::-1]
    other = await added(rows, "bob", created_at=9)
    assert await rows.find("ada") == mine
    assert await rows.find("ada", limit=2, skip=2) == await rows.find("ada", after=mine[1], limit=2) == mine[2:4]
    assert await rows.find(None) == [other, *mine]
    assert (await rows.count("ada"), await rows.count(None)) == (6, 7)


async def test_a_name_is_found_whatever_its_case(rows: Files) -> None:
    file = await added(rows, name="Straße 1.TXT")
    await added(rows, name="other.md")
    for named in ("STRASSE", "1.t", "straße"):
        assert await rows.find("ada", named=named) == [file]
    assert await rows.find("bob", named="1.t") == []


async def test_the_same_bytes_are_found_whoevers_they_are(rows: Files) -> None:
    first, second = await added(rows, created_at=1), await added(rows, "bob", created_at=2)
    await added(rows, sha256="other")
    assert await rows.of_hash("abc") == [first, second]


async def test_what_becomes_of_it_is_noted(rows: Files) -> None:
    file = await added(rows)
    assert await rows.set_status(file.id, FileStatus.FAILED, 7, error="no text")
    found = await rows.get(file.id)
    assert found
    assert (found.status, found.error, found.updated_at, found.metadata) == (FileStatus.FAILED, "no text", 7, file.metadata)
    assert not await rows.set_status(new_id(), FileStatus.COMPLETED, 7)


async def test_one_is_taken_away(rows: Files) -> None:
    kept, gone = await added(rows), await added(rows)
    assert await rows.remove(gone.id)
    assert not await rows.remove(gone.id)
    assert await rows.find("ada") == [kept]
