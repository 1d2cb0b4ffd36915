"""Rows of users: which of their tokens count, and how they are found."""

import asyncio
import time

import pytest

from core.errors import Conflict
from core.models.users import Credentials, Role, User
from core.storage import users
from core.storage.administrators import Administrators
from core.storage.records.port import Order, Records
from core.storage.users import COLLECTION, Users


@pytest.fixture
def rows(records: Records) -> Users:
    return Users(records)


async def added(rows: Users, name: str, role: Role = Role.USER) -> User:
    user_id = name.lower()
    user = User(id=user_id, name=name, email=f"{user_id}@example.com", role=role, created_at=1, updated_at=1, last_active_at=1)
    return await rows.add(user, Credentials(id=user_id, password_hash="hash"))


async def has(rows: Users, user: User, session: str, epoch: int) -> bool:
    found = await rows.get_with_sessions(user.id)
    assert found is not None
    assert type(found[0]) is User
    return found[1].has(session, epoch)


async def test_a_token_counts_until_its_session_ends(rows: Users) -> None:
    ada = await added(rows, "Ada")
    until = int(time.time()) + 60
    assert await has(rows, ada, "one", 0)
    await rows.end_session(ada.id, "one", until)
    assert [await has(rows, ada, session, 0) for session in ("one", "two", "")] == [False, True, True]
    await rows.end_session("nobody", "one", until)


async def test_a_session_that_has_expired_is_remembered_no_longer(rows: Users, records: Records) -> None:
    ada = await added(rows, "Ada")
    await rows.end_session(ada.id, "one", int(time.time()) - 1)
    await rows.end_session(ada.id, "two", int(time.time()) + 60)
    record = await records.get(COLLECTION, ada.id, dict)
    assert record is not None
    assert list(record["ended"]) == ["two"]


async def test_with_another_password_all_tokens_end_but_one_which_may_end_too(rows: Users) -> None:
    ada = await added(rows, "Ada")
    assert await rows.set_password(ada.id, "other", keep="mine")
    assert [await has(rows, ada, session, 0) for session in ("mine", "other", "")] == [True, False, False]
    assert await has(rows, ada, "new", 1)
    found = await rows.credentials(ada.email)
    assert found is not None
    assert (found[1].password_hash, found[1].epoch) == ("other", 1)
    await rows.end_session(ada.id, "mine", int(time.time()) + 60)
    assert not await has(rows, ada, "mine", 0)
    assert await rows.set_password(ada.id, "third", keep="")
    assert [await has(rows, ada, session, epoch) for session, epoch in (("mine", 0), ("new", 1), ("", 0), ("x", 2))] == [False] * 3 + [True]
    assert not await rows.set_password("nobody", "x")


async def test_who_signs_out_too_often_signs_out_everywhere(rows: Users, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(users, "MAX_ENDED", 2)
    ada = await added(rows, "Ada")
    for session in ("one", "two", "three"):
        await rows.end_session(ada.id, session, int(time.time()) + 60)
    assert [await has(rows, ada, session, 0) for session in ("one", "two", "three", "four")] == [False] * 4
    assert await has(rows, ada, "five", 1)


async def test_racing_ends_of_sessions_all_count(atomic_records: Records) -> None:
    rows = Users(atomic_records)
    ada = await added(rows, "Ada")
    until = int(time.time()) + 60
    await asyncio.gather(*(rows.end_session(ada.id, str(number), until) for number in range(8)), rows.set_password(ada.id, "x", keep="3"))
    assert not any([await has(rows, ada, str(number), 0) for number in range(8)])


async def test_users_are_found_by_a_part_of_their_name_or_address_and_ordered_by_name(rows: Users) -> None:
    for name in ("Zoë", "ada", "Bob"):
        await added(rows, name)
    assert [user.name for user in await rows.find("ZOË")] == ["Zoë"]
    assert [user.name for user in await rows.find("@EXAMPLE", order=Order("search"))] == ["ada", "Bob", "Zoë"]
    assert [user.name for user in await rows.find(order=Order("search", descending=True), limit=2)] == ["Zoë", "Bob"]
    assert (await rows.count("b@"), await rows.count()) == (1, 3)


async def test_a_change_is_written_only_over_what_was_read(rows: Users) -> None:
    ada = await added(rows, "Ada")
    renamed = User(**{**{field: getattr(ada, field) for field in ada.__struct_fields__}, "name": "Augusta"})
    assert await rows.change(ada, renamed)
    assert not await rows.change(ada, renamed)
    assert [user.id for user in await rows.find("augusta")] == ["ada"]


async def test_a_taken_address_is_a_conflict(atomic_records: Records) -> None:
    """FerretDB refuses it too, with an error that says nothing of its kind."""
    rows = Users(atomic_records)
    bob = await added(rows, "Bob")
    await added(rows, "Ada")
    taken = User(**{**{field: getattr(bob, field) for field in bob.__struct_fields__}, "email": "ada@example.com"})
    with pytest.raises(Conflict):
        await rows.change(bob, taken)


async def test_a_role_is_written_only_over_the_one_that_was_read(rows: Users) -> None:
    ada = await added(rows, "Ada")
    assert not await rows.set_role(ada.id, Role.PENDING, was=Role.USER)
    assert await rows.set_role(ada.id, Role.USER, was=Role.ADMIN)


async def test_the_last_administrator_may_not_go_and_one_who_is_going_does_not_count(rows: Users, records: Records) -> None:
    administrators = Administrators(records)
    ada = await added(rows, "Ada")
    assert await administrators.begin_removal(ada.id) is None
    bob = await added(rows, "Bob", Role.ADMIN)
    entry = await administrators.begin_removal(ada.id)
    assert entry is not None
    assert await administrators.begin_removal(bob.id) is None
    await administrators.end_removal(entry)
    assert await administrators.begin_removal(bob.id) is not None


async def test_one_whose_process_died_while_they_went_counts_again_later(
    rows: Users, records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    administrators = Administrators(records)
    ada, bob = await added(rows, "Ada"), await added(rows, "Bob", Role.ADMIN)
    assert await administrators.begin_removal(ada.id)
    now = time.time()
    monkeypatch.setattr("core.storage.administrators.time.time", lambda: now + 301)
    assert await administrators.begin_removal(bob.id)


async def test_of_ten_administrators_who_go_at_once_one_may_not(atomic_records: Records) -> None:
    rows, administrators = Users(atomic_records), Administrators(atomic_records)
    everybody = [await added(rows, f"N{number}", Role.ADMIN) for number in range(10)]
    entries = await asyncio.gather(*(administrators.begin_removal(user.id) for user in everybody))
    assert entries.count(None) == 1
