"""Accounts over each store: listed, changed, demoted and deleted."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from core.errors import BadRequest, Forbidden, NotFound
from core.models.users import Principal, Role, SignUp, User
from core.redis.client import Scripts
from core.redis.sign_in_attempts import SignInAttempts
from core.security import Passwords
from core.services.notifications import Notifications
from core.services.users.accounts import Accounts, ListUsers, UserChanges
from core.services.users.pictures import Pictures
from core.services.users.removal import Belongings, Removal
from core.services.users.users import Users
from core.settings import Settings
from core.storage.administrators import Administrators
from core.storage.pictures import Pictures as PictureRows
from core.storage.records.port import Records
from core.storage.users import COLLECTION
from core.storage.users import Users as UserRows
from tests.core.services.users.test_users import make, rows, users
from tests.job_backend import JobBackend

__all__ = ["make", "rows", "users"]


@pytest.fixture
def taken_away() -> list[str]:
    """Whose belongings were taken away."""
    return []


@pytest.fixture
def accounts(
    records: Records, backend: JobBackend, make: Callable[[Settings], Users], store_settings: Settings, taken_away: list[str]
) -> Accounts:
    async def take_away(user_id: str) -> None:
        taken_away.append(user_id)

    return over(records, backend, make(store_settings), take_away)


def over(records: Records, backend: JobBackend, users: Any = None, *belongings: Belongings) -> Accounts:
    """The service over a store; ``users``: for those who add some."""
    rows, notifications = UserRows(records), Notifications(backend.claims, backend.log)
    return Accounts(
        rows=rows,
        users=users,
        pictures=Pictures(PictureRows(records)),
        passwords=Passwords(),
        sign_in_attempts=SignInAttempts(Scripts(backend.client, patience_s=0)),
        removal=Removal(rows, Administrators(records), belongings, notifications.announce_revocation),
        announce_revocation=notifications.announce_revocation,
    )


async def added(users: Users, name: str, role: Role = Role.USER) -> Principal:
    command = SignUp(name=name, email=f"{name.lower()}@example.com", password="correct horse")
    return Principal(user=await users.add(command, role))


@pytest.fixture
async def ada(users: Users) -> Principal:
    return await added(users, "Ada")


async def test_pages_after_a_user_meet_without_gap_or_repetition(accounts: Accounts, users: Users, ada: Principal) -> None:
    for name in ("Bob", "Eve", "Dan"):
        await added(users, name)
    for order_by in ("created_at", "name", "email", "last_active_at", "role"):
        for descending in (False, True):
            command: dict[str, Any] = {"order_by": order_by, "descending": descending}
            whole, total = await accounts.list(ada, ListUsers(**command))
            assert (len(whole), total) == (4, 4)
            seen: list[User] = []
            while page := (await accounts.list(ada, ListUsers(**command, limit=3, after=seen[-1].id if seen else None)))[0]:
                seen += page
            assert seen == whole


async def test_only_administrators_manage(accounts: Accounts, users: Users, ada: Principal) -> None:
    bob = await added(users, "Bob")
    for asking in (
        accounts.list(bob, ListUsers()),
        accounts.add(bob, SignUp(name="x", email="x@example.com", password="long enough")),
        accounts.set_role(bob, bob.id, "admin"),
        accounts.delete(bob, ada.id),
        accounts.update(bob, ada.id, UserChanges(name="x")),
        accounts.update(bob, bob.id, UserChanges(email="x@example.com")),
        accounts.update(bob, bob.id, UserChanges(password="long enough")),
    ):
        with pytest.raises(Forbidden):
            await asking


async def test_who_changes_different_fields_at_once_loses_none(atomic_records: Records, backend: JobBackend) -> None:
    accounts, rows = over(atomic_records, backend), UserRows(atomic_records)
    await atomic_records.insert(COLLECTION, [user_in("ada")])
    user = await rows.get("ada")
    assert user is not None
    ada = Principal(user=user)
    changes = (UserChanges(name="Augusta"), UserChanges(email="a@example.com"), UserChanges(profile_image_url="/a.png"))
    await asyncio.gather(*(accounts.update(ada, ada.id, change) for change in changes))
    found = await rows.find("augusta")
    assert [(user.name, user.email, user.profile_image_url) for user in found] == [("Augusta", "a@example.com", "/a.png")]


async def test_an_address_of_another_is_refused_and_nothing_else_of_the_change_is_written(
    accounts: Accounts, users: Users, ada: Principal
) -> None:
    bob = await added(users, "Bob")
    with pytest.raises(BadRequest) as refused:
        await accounts.update(ada, bob.id, UserChanges(email="ADA@example.com", role="admin", name="Robert"))
    assert refused.value.param == "email"
    with pytest.raises(BadRequest, match="last administrator"):
        await accounts.update(ada, ada.id, UserChanges(name="Augusta", role="user"))
    assert sorted((user.name, user.role.value) for user in (await accounts.list(ada, ListUsers()))[0]) == [
        ("Ada", "admin"),
        ("Bob", "user"),
    ]


async def test_what_a_deleted_user_had_is_taken_away_before_and_after_them(
    accounts: Accounts, users: Users, ada: Principal, taken_away: list[str]
) -> None:
    bob = await added(users, "Bob")
    await accounts.delete(ada, bob.id)
    assert taken_away == [bob.id, bob.id]
    with pytest.raises(NotFound):
        await accounts.get(ada, bob.id)
    with pytest.raises(BadRequest, match="last administrator"):
        await accounts.delete(ada, ada.id)


async def test_of_racing_demotions_and_deletions_one_administrator_remains(atomic_records: Records, notifications: Notifications) -> None:
    """Each by a service of its own, as in processes of their own."""
    everybody = [user_in(f"n{number}") for number in range(6)]
    rows = UserRows(atomic_records)
    await atomic_records.insert(COLLECTION, everybody)
    services = [Removal(rows, Administrators(atomic_records), (), notifications.announce_revocation) for _ in everybody]

    async def go(place: int) -> None:
        user = await rows.get(everybody[place]["_id"])
        assert user is not None
        await (services[place].remove(user) if place % 2 else services[place].change_role(user, Role.USER))

    answers = await asyncio.gather(*(go(place) for place in range(len(everybody))), return_exceptions=True)
    assert [type(answer) for answer in answers if answer is not None] == [BadRequest]
    assert await atomic_records.count(COLLECTION, {"role": "admin"}) == 1


async def test_who_is_made_the_last_administrator_while_they_are_deleted_stays(records: Records, notifications: Notifications) -> None:
    rows = UserRows(records)
    await records.insert(COLLECTION, [user_in("ada"), user_in("bob")])
    ada, bob = await rows.get("ada"), await rows.get("bob")
    assert ada
    assert bob
    quick = Removal(rows, Administrators(records), (), notifications.announce_revocation)

    async def meanwhile(user_id: str) -> None:
        found = await rows.get(user_id)
        if found and (await rows.get("ada") or ada).role is Role.ADMIN:
            await quick.change_role(found, Role.ADMIN)
            await quick.change_role(ada, Role.USER)

    with pytest.raises(BadRequest, match="last administrator"):
        await Removal(rows, Administrators(records), (meanwhile,), notifications.announce_revocation).remove(bob)
    assert [(user.id, user.role.value) for user in await rows.find()] == [("ada", "user"), ("bob", "admin")]


def user_in(user_id: str) -> dict[str, Any]:
    moments = {"created_at": 1, "updated_at": 1, "last_active_at": 1}
    return {
        "_id": user_id,
        "id": user_id,
        "name": "N",
        "profile_image_url": "",
        "email": f"{user_id}@example.com",
        "role": "admin",
        "seat": user_id,
        **moments,
    }
