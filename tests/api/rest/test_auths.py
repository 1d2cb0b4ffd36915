import time

import aiohttp
import pytest

from core.models.users import Role
from core.services import Services
from core.storage import users
from tests.api.conftest import Client, sign_up

ADA = {"name": "Ada", "email": "Ada@Example.com", "password": "correct horse battery"}


async def test_the_first_user_is_admin_and_the_answer_is_flat_and_nested(visitor: Client) -> None:
    reply = await visitor.post("/api/auths/signup", ADA)
    assert reply.status == 201
    user = reply.body["user"]
    assert user | {"id": "", "created_at": 0, "last_active_at": 0} == {
        "id": "",
        "name": "Ada",
        "email": "ada@example.com",
        "role": "admin",
        "profile_image_url": "/user.png",
        "created_at": 0,
        "last_active_at": 0,
    }
    assert {name: reply.body[name] for name in user} == user
    assert reply.body["token_type"] == "Bearer"
    assert reply.body["expires_at"] > time.time()


async def test_signing_in_answers_like_signing_up_and_sets_a_cookie_that_scripts_cannot_read(visitor: Client, ada: Client) -> None:
    reply = await visitor.post("/api/auths/signin", {"email": "ada@example.com", "password": ADA["password"]})
    assert reply.status == 200
    assert reply.body["user"]["id"] == ada.user["id"]
    cookie = reply.headers["Set-Cookie"]
    assert cookie.startswith(f"token={reply.body['token']};")
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie


async def test_the_current_user_is_shown_as_the_reference_says(bob: Client) -> None:
    reply = await bob.get("/api/auths/")
    assert reply.status == 200
    assert set(reply.body) >= {"id", "name", "email", "role", "profile_image_url", "last_active_at"}
    assert (reply.body["email"], reply.body["role"]) == ("bob@example.com", "user")
    assert "password" not in str(reply.body)


async def test_an_unknown_address_and_a_wrong_password_are_answered_alike(visitor: Client, ada: Client) -> None:
    assert ada
    wrong = await visitor.post("/api/auths/signin", {"email": "ada@example.com", "password": "wrong"})
    unknown = await visitor.post("/api/auths/signin", {"email": "nobody@example.com", "password": "wrong"})
    assert (wrong.status, wrong.body) == (unknown.status, unknown.body) == (401, wrong.body)


@pytest.mark.parametrize(
    ("change", "field"),
    [({"email": "no address"}, "email"), ({"password": "short"}, "password"), ({"name": 7}, "name"), ({"email": None}, "email")],
)
async def test_what_is_wrong_with_a_sign_up_is_named(visitor: Client, change: dict[str, object], field: str) -> None:
    reply = await visitor.post("/api/auths/signup", ADA | change)
    assert reply.status == 400
    assert list(reply.body) == ["detail"]
    assert field in reply.body["detail"]


async def test_a_role_in_the_body_is_ignored(visitor: Client, ada: Client) -> None:
    assert ada
    reply = await visitor.post("/api/auths/signup", {"name": "M", "email": "m@example.com", "password": "long enough", "role": "admin"})
    assert reply.body["role"] == "user"


@pytest.mark.parametrize("header", [None, "Bearer nonsense", "Bearer ", "Basic abc", "nonsense"])
async def test_without_a_good_token_there_is_401(visitor: Client, ada: Client, header: str | None) -> None:
    assert ada
    reply = await visitor.get("/api/auths/", headers={"Authorization": header} if header else {})
    assert reply.status == 401
    assert reply.headers["WWW-Authenticate"] == "Bearer"
    assert list(reply.body) == ["detail"]


async def test_the_cookie_signs_a_browser_in_but_not_another_site_that_posts(url: str, bob: Client) -> None:
    async with aiohttp.ClientSession(cookies={"token": bob.token}) as session:
        browser = Client(url, session)
        assert (await browser.get("/api/auths/")).body["name"] == "Bob"
        own, foreign = {"Origin": url}, {"Origin": "http://127.0.0.1:1"}
        assert (await browser.post("/api/chats/new", {"chat": {}}, headers=own)).status == 201
        assert (await browser.post("/api/chats/new", {"chat": {}}, headers=foreign)).status == 401


async def test_a_deleted_users_token_is_worth_nothing(services: Services, bob: Client) -> None:
    await services.records.delete(users.COLLECTION, {"_id": bob.user["id"]})
    assert (await bob.get("/api/auths/")).status == 401


async def test_a_pending_user_sees_themself_and_nothing_else(visitor: Client, ada: Client, services: Services) -> None:
    assert ada
    services.users._role = Role.PENDING
    pending = await sign_up(visitor, "Pim")
    assert (await pending.get("/api/auths/")).body["role"] == "pending"
    for path in ("/api/chats/", "/api/models/", "/v1/models", "/api/generations/x/events"):
        assert (await pending.get(path)).status == 403, path
    assert (await pending.post("/v1/chat/completions", {})).status == 403


async def test_bodies_that_are_no_json_are_refused_with_400(visitor: Client) -> None:
    for body in (b"", b"{", b"\xff\xfe", b"[" * 100_000, b'"\\ud800"', b"[]", b"null"):
        reply = await visitor.post("/api/auths/signin", body)
        assert (reply.status, list(reply.body)) == (400, ["detail"]), body[:10]
