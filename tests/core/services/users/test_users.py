"""Users: signing up, signing in, being recognised."""

import asyncio
import time
from collections.abc import Callable

import jwt
import msgspec
import pytest

from core.errors import BadRequest, Unauthenticated
from core.models.users import Role, SignIn, SignUp, User
from core.redis.client import Scripts
from core.redis.sign_in_attempts import SignInAttempts
from core.security import Passwords, Tokens
from core.services.notifications import Notifications
from core.services.users.pictures import Pictures
from core.services.users.users import Users
from core.settings import Settings
from core.storage.api_keys import ApiKeys as KeyRows
from core.storage.pictures import Pictures as PictureRows
from core.storage.records.port import Records
from core.storage.users import COLLECTION
from core.storage.users import Users as UserRows
from tests.job_backend import JobBackend
from tests.polling import until

ADA = SignUp(name="Ada", email="ada@example.com", password="correct horse")
BOB = SignUp(name="Bob", email="bob@example.com", password="battery staple")


@pytest.fixture
def rows(records: Records) -> UserRows:
    return UserRows(records)


@pytest.fixture
def make(records: Records, rows: UserRows, backend: JobBackend, notifications: Notifications) -> Callable[[Settings], Users]:
    """The service under some settings."""

    def with_settings(settings: Settings) -> Users:
        return Users(
            rows=rows,
            keys=KeyRows(records),
            pictures=Pictures(PictureRows(records)),
            passwords=Passwords(),
            tokens=Tokens(settings),
            sign_in_attempts=SignInAttempts(Scripts(backend.client, patience_s=0)),
            settings=settings,
            announce_revocation=notifications.announce_revocation,
        )

    return with_settings


@pytest.fixture
def users(make: Callable[[Settings], Users], store_settings: Settings) -> Users:
    return make(store_settings)


async def test_the_first_user_is_the_administrator_and_later_ones_get_the_default_role(users: Users) -> None:
    assert (await users.sign_up(ADA)).user.role is Role.ADMIN
    assert (await users.sign_up(BOB)).user.role is Role.USER


async def test_the_default_role_is_a_setting(make: Callable[[Settings], Users], store_settings: Settings) -> None:
    settings = msgspec.structs.replace(store_settings, default_user_role=Role.PENDING)
    users = make(settings)
    await users.sign_up(ADA)
    assert (await users.sign_up(BOB)).user.role is Role.PENDING


async def test_twenty_racing_first_users_make_exactly_one_administrator(users: Users, records: Records) -> None:
    commands = [SignUp(name=f"N{number}", email=f"n{number}@example.com", password="long enough") for number in range(20)]
    sessions = await asyncio.gather(*map(users.sign_up, commands))
    assert [session.user.role for session in sessions].count(Role.ADMIN) == 1
    assert await records.count(COLLECTION, {"role": "admin"}) == 1
    assert await records.count(COLLECTION, {}) == 20


async def test_racing_sign_ups_of_one_address_make_one_user(users: Users, records: Records) -> None:
    results = await asyncio.gather(*(users.sign_up(ADA) for _ in range(8)), return_exceptions=True)
    assert len([result for result in results if isinstance(result, BadRequest)]) == 7
    assert await records.count(COLLECTION, {}) == 1
    assert await records.count(COLLECTION, {"role": "admin"}) == 1


async def test_a_token_of_signing_up_or_in_is_recognised(users: Users) -> None:
    signed_up = await users.sign_up(ADA)
    signed_in = await users.sign_in(SignIn(email=" ADA@Example.com ", password=ADA.password))
    assert signed_in.user == signed_up.user
    for session in (signed_up, signed_in):
        principal = await users.authenticate(session.token)
        assert principal.user == signed_up.user
        assert principal.is_admin
        assert session.expires_at == jwt.decode(session.token, options={"verify_signature": False})["exp"]


async def test_addresses_are_case_folded_and_unique(users: Users) -> None:
    assert (await users.sign_up(ADA)).user.email == "ada@example.com"
    with pytest.raises(BadRequest, match="already registered"):
        await users.sign_up(msgspec.structs.replace(ADA, email="  ADA@EXAMPLE.COM"))


async def test_an_address_is_one_however_its_accents_were_typed(users: Users) -> None:
    ada = (await users.sign_up(msgspec.structs.replace(ADA, email="ad\u00e9@example.com"))).user
    with pytest.raises(BadRequest, match="already registered"):
        await users.sign_up(msgspec.structs.replace(ADA, email="AdE\u0301@example.com"))
    assert (await users.sign_in(SignIn(email="ade\u0301@example.com", password=ADA.password))).user.id == ada.id


@pytest.mark.parametrize(
    "email",
    [
        "",
        "ada",
        "ada@",
        "@example.com",
        "a da@example.com",
        "ada@example",
        "a@b@c.de",
        "ada@example..com",
        "ada@exa\u0000mple.com",
        "a\ud800@b.de",
        "x" * 250 + "@b.de",
        "a\u200bda@example.com",
        "\u202eada@example.com",
        "ada@example.com\ufeff",
        " " * 10_000 + "ada@example.com",
    ],
)
async def test_an_address_that_is_none_is_refused(users: Users, email: str) -> None:
    with pytest.raises(BadRequest) as refused:
        await users.sign_up(msgspec.structs.replace(ADA, email=email))
    assert refused.value.param == "email"


@pytest.mark.parametrize("password", ["", "1234567", "x" * 1025, "surrogate \ud800"])
async def test_a_password_too_short_or_too_long_is_refused(users: Users, password: str) -> None:
    with pytest.raises(BadRequest) as refused:
        await users.sign_up(msgspec.structs.replace(ADA, password=password))
    assert refused.value.param == "password"


@pytest.mark.parametrize("password", ["12345678", "x" * 1024, "пароль пароль 😀"])
async def test_passwords_of_8_to_1024_characters_work(users: Users, password: str) -> None:
    await users.sign_up(msgspec.structs.replace(ADA, password=password))
    await users.sign_in(SignIn(email=ADA.email, password=password))


async def test_a_name_is_needed(users: Users) -> None:
    with pytest.raises(BadRequest) as refused:
        await users.sign_up(msgspec.structs.replace(ADA, name="   "))
    assert refused.value.param == "name"


@pytest.mark.parametrize("password", ["wrong password", "", "x" * 5000, "surrogate \ud800"])
async def test_an_unknown_address_and_a_wrong_password_are_answered_alike(users: Users, password: str) -> None:
    await users.sign_up(ADA)
    answers = []
    for email in (ADA.email, "nobody@example.com", "no address"):
        with pytest.raises(Unauthenticated) as refused:
            await users.sign_in(SignIn(email=email, password=password))
        answers.append(refused.value.detail)
    assert len(set(answers)) == 1


async def test_an_unknown_address_takes_as_long_as_a_wrong_password(users: Users) -> None:
    await users.sign_up(ADA)

    async def shortest(email: str) -> float:
        took = []
        for _ in range(5):
            start = time.perf_counter()
            with pytest.raises(Unauthenticated):
                await users.sign_in(SignIn(email=email, password="some password"))
            took.append(time.perf_counter() - start)
        return min(took)

    known, unknown = await shortest(ADA.email), await shortest("nobody@example.com")
    assert 0.5 < unknown / known < 2


async def test_a_deleted_users_token_is_refused_at_once(users: Users, rows: UserRows) -> None:
    session = await users.sign_up(ADA)
    await users.authenticate(session.token)
    assert await rows.remove(session.user.id, role=session.user.role)
    with pytest.raises(Unauthenticated):
        await users.authenticate(session.token)


async def test_a_demoted_users_token_loses_its_rights_at_once(users: Users, rows: UserRows) -> None:
    session = await users.sign_up(ADA)
    assert (await users.authenticate(session.token)).is_admin
    await rows.set_role(session.user.id, Role.USER, was=Role.ADMIN)
    assert not (await users.authenticate(session.token)).is_admin


async def test_being_active_is_noted_beside_the_request_once_a_minute(users: Users, rows: UserRows, records: Records) -> None:
    session = await users.sign_up(ADA)
    user_id, now = session.user.id, session.user.last_active_at

    async def noted() -> User:
        user = await rows.get(user_id)
        assert user is not None
        return user

    await records.update(COLLECTION, user_id, {"last_active_at": now - 50})
    await users.authenticate(session.token)
    await records.update(COLLECTION, user_id, {"last_active_at": now - 70})
    assert (await users.authenticate(session.token)).user.last_active_at == now - 70

    await until(lambda: not users._noting, "it is noted")
    assert (await noted()).last_active_at >= now


async def test_a_users_record_as_a_model_holds_no_password(users: Users, rows: UserRows) -> None:
    session = await users.sign_up(ADA)
    assert b"argon2" not in msgspec.json.encode([session, await rows.get(session.user.id)])
    found = await rows.credentials(ADA.email)
    assert found is not None
    assert found[1].password_hash.startswith("$argon2id$")


@pytest.mark.parametrize("name", ["\0", "A\nB", "\u200b", "\u202eadA", "A\u2066", "A\x85B", "\ufeff\u200d"])
async def test_a_name_that_cannot_be_seen_as_it_is_is_refused(users: Users, name: str) -> None:
    with pytest.raises(BadRequest) as refused:
        await users.sign_up(msgspec.structs.replace(ADA, name=name))
    assert refused.value.param == "name"


@pytest.mark.parametrize("name", ["Ada", "李", "\U0001f469\u200d\U0001f4bb", "\u0645\u06cc\u200c\u062e\u0648", "O'Neil & Söhne", "<b>"])
async def test_any_other_name_is_kept(users: Users, name: str) -> None:
    assert (await users.sign_up(msgspec.structs.replace(ADA, name=f" {name} "))).user.name == name
