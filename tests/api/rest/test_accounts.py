import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from api.rest.auths import DEFAULT_IMAGE
from core.errors import Unavailable
from core.models.users import Role
from core.redis import sign_in_attempts
from core.services import Services
from core.storage import pictures
from tests.api.conftest import Client, Reply, sign_up
from tests.api.socketio_client import connect_socket
from tests.polling import until

PASSWORD = "correct horse battery"
PNG = "data:image/png;base64," + base64.b64encode(b"\x89PNG\r\n\x1a\n and so on").decode()


async def signed_in(visitor: Client, name: str, password: str = PASSWORD, **options: Any) -> Reply:
    return await visitor.post("/api/auths/signin", {"email": f"{name}@example.com", "password": password}, **options)


async def another(user: Client, url: str | None = None) -> Client:
    """The same user at another client."""
    reply = await signed_in(Client(url or user.url, user.session), user.user["name"].lower())
    assert reply.status == 200, reply
    return Client(url or user.url, user.session, user.user, reply.body["token"])


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_signing_out_ends_this_token_at_once_on_every_process_and_no_other(bob: Client, elsewhere: str, method: str) -> None:
    laptop, phone = await another(bob), await another(bob)
    laptop_there = Client(elsewhere, bob.session, bob.user, laptop.token)
    assert (await laptop_there.get("/api/auths/")).status == 200
    async with connect_socket(laptop) as socket:
        reply = await laptop.ask(method, "/api/auths/signout")
        assert (reply.status, reply.body) == (200, {"status": True})
        assert 'token="";' in reply.headers["Set-Cookie"]
        assert "Max-Age=0" in reply.headers["Set-Cookie"]
        for client in (laptop, laptop_there):
            reply = await client.get("/api/auths/")
            assert (reply.status, "Sign in again" in reply.body["detail"]) == (401, True)
        await until(lambda: not socket.client.connected, "the socket is let out")
        assert [data["code"] for data in socket.of("error")] == ["unauthenticated"]
    for client in (bob, phone):
        assert (await client.get("/api/auths/")).status == 200


async def test_a_link_on_another_page_does_not_sign_a_browser_out(url: str, bob: Client) -> None:
    async with aiohttp.ClientSession(cookies={"token": bob.token}) as session:
        browser = Client(url, session)
        for site in ("cross-site", "same-site"):
            assert (await browser.get("/api/auths/signout", headers={"Sec-Fetch-Site": site})).status == 403
        assert (await bob.get("/api/auths/")).status == 200
        assert (await browser.get("/api/auths/signout", headers={"Sec-Fetch-Site": "same-origin"})).status == 200
        assert (await bob.get("/api/auths/")).status == 401


async def test_a_picture_on_our_own_page_does_not_sign_a_browser_out(url: str, bob: Client) -> None:
    path = "/api/auths/signout"
    assert (await bob.post("/api/auths/update/profile", {"profile_image_url": path})).status == 200
    async with aiohttp.ClientSession(cookies={"token": bob.token}) as session:
        browser = Client(url, session)
        for kind in ("image", "iframe", "script", "audio"):
            said = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Dest": kind}
            assert (await browser.get(path, headers=said)).status == 403, kind
        assert (await browser.get(path, headers={"Sec-Fetch-Dest": "document", "Sec-Purpose": "prefetch"})).status == 403
        assert (await browser.get(path, headers={"Accept": "image/avif,image/webp,image/*;q=0.8,*/*;q=0.5"})).status == 403
        assert (await browser.get(path, headers={"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Dest": "empty"})).status == 200


async def test_racing_sign_outs_all_count(bob: Client) -> None:
    clients = [await another(bob) for _ in range(4)]
    await asyncio.gather(*(client.post("/api/auths/signout", None) for client in clients))
    assert [(await client.get("/api/auths/")).status for client in (*clients, bob)] == [401] * 4 + [200]


async def test_another_password_ends_all_other_sessions_and_this_one_goes_on(bob: Client, visitor: Client, elsewhere: str) -> None:
    phone = await another(bob, elsewhere)
    reply = await bob.post("/api/auths/update/password", {"password": PASSWORD, "new_password": "battery staple"})
    assert (reply.status, reply.body) == (200, True)
    assert (await phone.get("/api/auths/")).status == 401
    assert (await bob.get("/api/auths/")).status == 200
    assert (await signed_in(visitor, "bob")).status == 401
    fresh = await signed_in(visitor, "bob", "battery staple")
    assert (await Client(bob.url, bob.session, token=fresh.body["token"]).get("/api/auths/")).status == 200
    await bob.post("/api/auths/signout", None)
    assert (await bob.get("/api/auths/")).status == 401


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({"password": "wrong", "new_password": "battery staple"}, 400, "password"),
        ({"password": PASSWORD, "new_password": "short"}, 400, "new_password"),
        ({"password": PASSWORD}, 400, "new_password"),
    ],
)
async def test_a_password_that_cannot_be_changed_stays(bob: Client, visitor: Client, body: dict[str, Any], status: int, field: str) -> None:
    phone = await another(bob)
    reply = await bob.post("/api/auths/update/password", body)
    assert (reply.status, field in reply.body["detail"]) == (status, True)
    assert (await signed_in(visitor, "bob")).status == 200
    assert (await phone.get("/api/auths/")).status == 200


async def test_an_api_key_can_neither_sign_out_nor_change_the_password(bob: Client) -> None:
    key = (await bob.post("/api/users/api_key", {})).body["api_key"]
    program = Client(bob.url, bob.session, bob.user, key)
    assert (await program.post("/api/auths/signout", None)).status == 403
    assert (await program.post("/api/auths/update/password", {"password": PASSWORD, "new_password": "battery staple"})).status == 403
    assert (await program.get("/api/auths/")).status == 200
    assert (await bob.post("/api/auths/update/password", {"password": PASSWORD, "new_password": "battery staple"})).status == 200
    assert (await program.get("/api/auths/")).status == 200


async def test_ones_own_name_and_picture_are_changed_one_by_one(bob: Client) -> None:
    reply = await bob.post("/api/auths/update/profile", {"name": "  Robert "})
    assert (reply.status, reply.body["name"], reply.body["profile_image_url"]) == (200, "Robert", DEFAULT_IMAGE)
    reply = await bob.post("/api/auths/update/profile", {"profile_image_url": "https://example.com/bob.png", "role": "admin"})
    assert (reply.body["name"], reply.body["profile_image_url"], reply.body["role"]) == ("Robert", "https://example.com/bob.png", "user")
    assert (await bob.get("/api/auths/")).body == reply.body


@pytest.mark.parametrize(
    "address",
    [
        "javascript:alert(1)",
        "data:image/svg+xml;base64,PHN2Zz48L3N2Zz4=",
        "data:text/html,<script>alert(1)</script>",
        "DATA:text/html;base64,PGI+",
        "data:image/png;base64,bm8gcG5n",
        "data:image/png;base64,***",
        "data:image/png;base64," + "A" * 1_048_576,
        "//example.com/x.png",
        "/\\example.com/x.png",
        "https://",
        "http://[",
        "https://exa mple.com/x.png",
        "ftp://example.com/x.png",
        "user.png",
        "/x" * 2000,
    ],
    ids=lambda address: address[:30],
)
async def test_a_picture_that_a_browser_might_run_or_that_is_none_is_refused(bob: Client, visitor: Client, address: str) -> None:
    reply = await bob.post("/api/auths/update/profile", {"profile_image_url": address})
    assert (reply.status, "profile_image_url" in reply.body["detail"]) == (400, True)
    body = {"name": "P", "email": "p@example.com", "password": PASSWORD, "profile_image_url": address}
    assert (await visitor.post("/api/auths/signup", body)).status == 400


async def test_an_image_is_kept_apart_and_read_where_the_profile_says(
    ada: Client, bob: Client, eve: Client, visitor: Client, services: Services
) -> None:
    address = (await bob.post("/api/auths/update/profile", {"profile_image_url": PNG})).body["profile_image_url"]
    assert address.startswith(f"/api/users/{bob.user['id']}/profile/image?v=")
    for client in (ada, bob, eve):
        async with client.session.get(client.url + address, headers=client.headers) as response:
            assert (response.status, response.content_type) == (200, "image/png")
            assert (await response.read()).startswith(b"\x89PNG")
            assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert (await visitor.get(address)).status == 401
    body = {"name": "Pim", "email": "pim@example.com", "password": PASSWORD, "profile_image_url": PNG}
    assert (await visitor.post("/api/auths/signup", body)).body["profile_image_url"].startswith("/api/users/")
    assert (await bob.post("/api/auths/update/profile", {"profile_image_url": address, "name": "Rob"})).body["profile_image_url"] == address
    async with bob.session.get(bob.url + address, headers=bob.headers) as response:
        assert response.status == 200
    await bob.post("/api/auths/update/profile", {"profile_image_url": ""})
    assert (await bob.get(address)).status == 404
    assert await services.records.count(pictures.COLLECTION, {}) == 1


async def test_a_pending_user_may_sign_out_and_change_themself(visitor: Client, ada: Client, services: Services) -> None:
    services.users._role = Role.PENDING
    pim = await sign_up(visitor, "Pim")
    assert (await pim.post("/api/auths/update/profile", {"name": "Pia"})).body["name"] == "Pia"
    assert (await pim.post("/api/auths/update/password", {"password": PASSWORD, "new_password": "battery staple"})).status == 200
    assert (await pim.get(f"/api/users/{pim.user['id']}")).body["name"] == "Pia"
    assert (await pim.get(f"/api/users/{ada.user['id']}")).status == 403
    assert (await pim.get(f"/api/users/{ada.user['id']}/profile/image")).status == 403
    assert (await pim.post("/api/auths/signout", None)).status == 200
    assert (await pim.get("/api/auths/")).status == 401


@asynccontextmanager
async def coming_from(address: str, url: str) -> AsyncIterator[Client]:
    """Somebody at another address of this machine."""
    connector = aiohttp.TCPConnector(local_addr=(address, 0))
    async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as session:
        yield Client(url, session)


async def statuses(visitor: Client, name: str, password: str, tries: int) -> list[int]:
    """What so many racing tries are answered with, in order of their codes."""
    return sorted(reply.status for reply in await asyncio.gather(*(signed_in(visitor, name, password) for _ in range(tries))))


@pytest.fixture
async def quick_hashes(ada: Client, services: Services, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Passwords that are looked at, without the time that takes, and without the limit for all that strangers do."""
    assert (await ada.post("/api/configs/rate_limits", {"anonymous_requests_per_minute": None})).status == 200
    looked_at: list[str] = []

    async def looks(password: str, password_hash: str = "") -> bool:
        looked_at.append(password)
        return password == PASSWORD and password_hash != ""

    monkeypatch.setattr(services.users._passwords, "verify", looks)
    monkeypatch.setattr(services.users._passwords, "verify_dummy", looks)
    return looked_at


async def test_too_many_tries_for_one_account_are_refused_alike_whether_it_is_there_or_not(bob: Client, quick_hashes: list[str]) -> None:
    answers = []
    for name in ("bob", "nobody"):
        quick_hashes.clear()
        async with coming_from("127.0.0.2", bob.url) as guesser, coming_from("127.0.0.3", bob.url) as elsewhere:
            assert await statuses(guesser, name, "wrong", 14) == [401] * sign_in_attempts.MAX_PER_ACCOUNT + [429] * 4
            refused = await signed_in(elsewhere, name)
        assert len(quick_hashes) == sign_in_attempts.MAX_PER_ACCOUNT
        wait = refused.headers["Retry-After"]
        assert 0 < int(wait) <= sign_in_attempts.WINDOW_MS / 1000
        answers.append((refused.status, refused.body["detail"].replace(wait, "N")))
    assert answers[0] == answers[1] == (429, "Too many attempts to sign in. Try again in N seconds.")


async def test_an_owner_is_not_locked_out_where_they_have_signed_up_or_in_before(bob: Client, quick_hashes: list[str]) -> None:
    assert quick_hashes == []
    async with coming_from("127.0.0.2", bob.url) as home, coming_from("127.0.0.3", bob.url) as guesser:
        assert (await signed_in(home, "bob")).status == 200
        assert await statuses(guesser, "bob", "wrong", 12) == [401] * 10 + [429] * 2
        assert (await signed_in(guesser, "bob")).status == 429
        assert [(await signed_in(client, "bob")).status for client in (bob, home)] == [200, 200]
        assert await statuses(guesser, "bob", "wrong", 11) == [401] * 10 + [429]


async def test_tries_from_one_address_are_counted_over_all_accounts_but_not_those_that_succeed(
    bob: Client, quick_hashes: list[str]
) -> None:
    assert quick_hashes == []
    async with coming_from("127.0.0.2", bob.url) as office, coming_from("127.0.0.3", bob.url) as home:
        assert await statuses(office, "bob", PASSWORD, 9) == [200] * 9
        tries = await asyncio.gather(*(signed_in(office, f"n{number}", "wrong") for number in range(60)))
        assert sorted(reply.status for reply in tries) == [401] * sign_in_attempts.MAX_PER_ADDRESS + [429] * 10
        assert (await signed_in(office, "bob")).status == 429
        assert (await signed_in(home, "bob")).status == 200


async def test_a_try_is_forgotten_when_its_time_is_over(bob: Client, quick_hashes: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert quick_hashes == []
    monkeypatch.setattr(sign_in_attempts, "WINDOW_MS", 50)
    async with coming_from("127.0.0.2", bob.url) as guesser:
        assert await statuses(guesser, "bob", "wrong", 10) == [401] * 10

        async def let_in() -> bool:
            return (await signed_in(guesser, "bob")).status == 200

        await until(let_in, "the tries are forgotten")


async def test_guesses_over_graphql_count_too(bob: Client, quick_hashes: list[str]) -> None:
    assert quick_hashes == []
    query = 'mutation { signIn(email: "bob@example.com", password: "wrong") { token } }'
    async with coming_from("127.0.0.2", bob.url) as guesser:
        replies = [await guesser.post("/graphql", {"query": query}, headers={"Content-Type": "application/json"}) for _ in range(11)]
    codes = [reply.body["errors"][0]["extensions"]["code"] for reply in replies]
    assert codes == ["unauthenticated"] * 10 + ["rate_limit_exceeded"]


async def test_guessing_the_password_to_change_it_is_slowed_too(bob: Client, quick_hashes: list[str]) -> None:
    assert quick_hashes == []
    body = {"password": "wrong", "new_password": "battery staple"}
    replies = [await bob.post("/api/auths/update/password", body) for _ in range(sign_in_attempts.MAX_PER_ADDRESS + 1)]
    assert [reply.status for reply in replies] == [400] * sign_in_attempts.MAX_PER_ADDRESS + [429]


async def test_without_redis_one_can_sign_in(bob: Client, services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*_: Any) -> Any:
        raise Unavailable

    monkeypatch.setattr(services.users._sign_in_attempts._scripts, "run", away)
    assert (await signed_in(bob, "bob")).status == 200
