"""Rows of API keys, and of users' pictures."""

import pytest

from core.errors import Conflict
from core.models.api_keys import ApiKey, ApiKeyCredentials
from core.models.pictures import Picture
from core.storage import api_keys
from core.storage.api_keys import ApiKeys
from core.storage.pictures import Pictures
from core.storage.records.port import Records


@pytest.fixture
def rows(records: Records) -> ApiKeys:
    return ApiKeys(records)


async def added(rows: ApiKeys, key_id: str, user_id: str = "ada", created_at: int = 1) -> ApiKey:
    key = ApiKey(id=key_id, user_id=user_id, name="A key", last_four="abcd", created_at=created_at)
    await rows.insert(key, ApiKeyCredentials(id=key_id, key_hash=f"hash of {key_id}"))
    return key


async def test_a_key_is_found_by_its_hash_and_by_its_id(rows: ApiKeys) -> None:
    key = await added(rows, "one")
    assert await rows.of_hash("hash of one") == await rows.get("one") == key
    assert (await rows.of_hash("hash of two"), await rows.get("two")) == (None, None)


async def test_a_key_whose_hash_is_remembered_is_read_anew_each_time(rows: ApiKeys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_keys, "REMEMBERED", 2)
    for key_id in ("one", "two", "three"):
        await added(rows, key_id)
        assert await rows.of_hash(f"hash of {key_id}") == await rows.get(key_id)
    assert len(rows._ids) == 2
    await rows.rename("three", "Another")
    found = await rows.of_hash("hash of three")
    assert found is not None
    assert found.name == "Another"
    await rows.remove("three")
    assert await rows.of_hash("hash of three") is None


async def test_a_hash_is_one_keys(rows: ApiKeys) -> None:
    await added(rows, "one")
    with pytest.raises(Conflict):
        await rows.insert(
            ApiKey(id="two", user_id="eve", name="x", last_four="x", created_at=1), ApiKeyCredentials(id="two", key_hash="hash of one")
        )


async def test_a_users_keys_are_listed_oldest_first_and_go_together(rows: ApiKeys) -> None:
    await added(rows, "young", created_at=2)
    await added(rows, "old", created_at=1)
    await added(rows, "eves", "eve")
    assert [key.id for key in await rows.of_user("ada")] == ["old", "young"]
    assert (await rows.remove("old"), await rows.remove("old")) == (True, False)
    await rows.remove_user("ada")
    assert await rows.of_user("ada") == []
    assert len(await rows.of_user("eve")) == 1


async def test_a_key_is_renamed_and_its_use_noted_over_what_was_read(rows: ApiKeys) -> None:
    key = await added(rows, "one")
    assert (await rows.rename("one", "Another"), await rows.rename("two", "x")) == (True, False)
    await rows.note_use(key, 100)
    await rows.note_use(key, 50)
    found = await rows.get("one")
    assert found is not None
    assert (found.name, found.last_used_at) == ("Another", 100)


async def test_a_user_has_one_picture(records: Records) -> None:
    pictures = Pictures(records)
    assert await pictures.get("ada") is None
    for data in ("AAAA", "BBBB"):
        await pictures.put(Picture(id="ada", kind="image/png", data=data))
    assert await pictures.get("ada") == Picture(id="ada", kind="image/png", data="BBBB")
    await pictures.remove_user("ada")
    assert await pictures.get("ada") is None
