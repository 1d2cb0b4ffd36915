"""Passwords, tokens, and what is stored encrypted."""

import asyncio
import base64
import time
from collections.abc import Iterator

import jwt
import msgspec
import pytest

from core import security
from core.errors import SettingsError, Unauthenticated, Unavailable
from core.security import Passwords, Sealer, Tokens
from core.settings import Settings

KEY = "a secret key that only these tests know"
SETTINGS = Settings(secret_key=KEY)


@pytest.fixture
def passwords() -> Iterator[Passwords]:
    made = Passwords()
    yield made
    made.close()


async def test_a_password_is_kept_as_argon2id_and_recognised(passwords: Passwords) -> None:
    kept, again = await asyncio.gather(passwords.hash("correct horse"), passwords.hash("correct horse"))
    assert kept.startswith("$argon2id$")
    assert kept != again
    assert await passwords.verify("correct horse", kept)
    assert not await passwords.verify("wrong horse", kept)
    assert not await passwords.verify("correct horse", "not a hash")
    assert not await passwords.verify_dummy("correct horse")


async def test_hashing_leaves_the_event_loop_free(passwords: Passwords) -> None:
    hashing = asyncio.gather(*(passwords.hash("correct horse") for _ in range(4)))
    turns = 0
    while not hashing.done():
        await asyncio.sleep(0)
        turns += 1
    assert turns > 100


async def test_hashing_takes_no_more_threads_than_allowed(passwords: Passwords) -> None:
    await asyncio.gather(*(passwords.hash("correct horse") for _ in range(6)))
    assert len(passwords._threads._threads) <= security.HASHING_THREADS


def test_a_token_says_whose_it_is_and_until_when() -> None:
    tokens = Tokens(msgspec.structs.replace(SETTINGS, token_days=2))
    token, expires_at = tokens.issue("u1")
    assert abs(expires_at - time.time() - 2 * 86_400) < 5
    assert tokens.verify(token) == security.TokenClaims(
        user_id="u1", session=jwt.decode(token, KEY, algorithms=["HS256"])["jti"], expires_at=expires_at
    )
    assert tokens.verify(token) == Tokens(SETTINGS).verify(token)
    claims = jwt.decode(token, KEY, algorithms=["HS256"])
    assert set(claims) == {"id", "iat", "exp", "jti", "epoch"}


def test_no_two_tokens_are_alike() -> None:
    tokens = Tokens(SETTINGS)
    assert tokens.issue("u1")[0] != tokens.issue("u1")[0]


def forged(**changes: object) -> str:
    return jwt.encode({"id": "u1", "exp": int(time.time()) + 60, **changes}, KEY, "HS256")


def unsigned() -> str:
    parts = [base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in (b'{"alg":"none"}', b'{"id":"u1","exp":99999999999}')]
    return f"{parts[0]}.{parts[1]}."


@pytest.mark.parametrize(
    "token",
    [
        "",
        "no token",
        "a.b.c",
        "ä.ö.ü",
        "\ud800",
        unsigned(),
        jwt.encode({"id": "u1", "exp": 99_999_999_999}, KEY + "x", "HS256"),
        jwt.encode({"id": "u1", "exp": 99_999_999_999}, KEY * 2, "HS512"),
        jwt.encode({"id": "u1"}, KEY, "HS256"),
        jwt.encode({"exp": 99_999_999_999}, KEY, "HS256"),
        forged(id=5),
        forged(epoch="0"),
        forged(exp=int(time.time()) - 1),
        forged()[:-3] + "AAA",
    ],
)
def test_any_other_token_is_refused(token: str) -> None:
    with pytest.raises(Unauthenticated):
        Tokens(SETTINGS).verify(token)


def test_a_remembered_token_expires_on_time(monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = Tokens(SETTINGS)
    token, expires_at = tokens.issue("u1")
    tokens.verify(token)
    monkeypatch.setattr("core.security.time.time", lambda: expires_at + 0.5)
    with pytest.raises(Unauthenticated, match="expired"):
        tokens.verify(token)


def test_remembered_tokens_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(security, "CACHED_TOKENS", 3)
    tokens = Tokens(SETTINGS)
    for number in range(10):
        tokens.verify(tokens.issue(str(number))[0])
    assert len(tokens._verified) == 3


def test_without_a_secret_key_nothing_is_signed() -> None:
    with pytest.raises(SettingsError, match="PENSTOCK_SECRET_KEY"):
        Tokens(Settings())


def test_what_is_sealed_opens_for_its_purpose_with_its_key_and_else_not() -> None:
    sealed = Sealer(SETTINGS).seal(b"a secret", "a purpose")
    assert sealed != Sealer(SETTINGS).seal(b"a secret", "a purpose")
    assert Sealer(SETTINGS).open(sealed, "a purpose") == b"a secret"
    for sealer, text, purpose in (
        (Sealer(SETTINGS), sealed, "another purpose"),
        (Sealer(Settings(secret_key="another secret key that nobody knows")), sealed, "a purpose"),
        (Sealer(SETTINGS), sealed[:-6] + "AAAA==", "a purpose"),
        (Sealer(SETTINGS), "", "a purpose"),
    ):
        with pytest.raises(Unavailable, match="PENSTOCK_SECRET_KEY"):
            sealer.open(text, purpose)
