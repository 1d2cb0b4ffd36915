from typing import Any

import aiohttp
import msgspec
import pytest

from core.errors import SettingsError
from core.settings import Settings, load
from tests.api.conftest import Client

FRIEND, STRANGER = "https://chat.example.com", "https://evil.example.com"
BODY = {"chat": {"title": "A chat", "messages": []}}


def cookie(client: Client, **headers: str) -> dict[str, Any]:
    """What a browser sends for a page: no header of the page's own, but the cookie."""
    return {"Cookie": f"token={client.token}", "Content-Type": "application/json", **headers}


async def ask(client: Client, method: str, path: str, headers: dict[str, str], body: Any = None) -> aiohttp.ClientResponse:
    data = None if body is None else msgspec.json.encode(body)
    async with client.session.request(method, client.url + path, data=data, headers=headers) as response:
        await response.read()
        return response


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 201),
        ({"Sec-Fetch-Site": "same-origin"}, 201),
        ({"Sec-Fetch-Site": "none"}, 201),
        ({"Sec-Fetch-Site": "cross-site"}, 401),
        ({"Sec-Fetch-Site": "same-site"}, 401),
        ({"Origin": "null"}, 401),
        ({"Origin": STRANGER}, 401),
        ({"Origin": "OWN"}, 201),
        ({"Origin": "http://127.0.0.1:1"}, 401),
        ({"Origin": FRIEND, "Sec-Fetch-Site": "same-origin"}, 201),
        ({"Origin": FRIEND, "Sec-Fetch-Site": "same-site"}, 401),
        ({"Origin": FRIEND, "Sec-Fetch-Site": "none"}, 401),
    ],
)
async def test_a_cookie_changes_something_only_from_our_own_pages(bob: Client, headers: dict[str, str], status: int) -> None:
    sent = {name: bob.url if value == "OWN" else value for name, value in headers.items()}
    assert (await ask(bob, "POST", "/api/chats/new", cookie(bob, **sent), BODY)).status == status


async def test_without_the_setting_other_origins_get_no_word(bob: Client) -> None:
    asked = {"Origin": FRIEND, "Access-Control-Request-Method": "POST"}
    for reply in (
        await ask(bob, "GET", "/api/auths/", bob.headers | {"Origin": FRIEND}),
        await ask(bob, "OPTIONS", "/api/chats/new", asked),
    ):
        assert not [name for name in reply.headers if name.startswith("Access-Control")]


@pytest.mark.parametrize("path", ["/graphql", "/socket.io/?EIO=4&transport=websocket"])
@pytest.mark.parametrize(("origin", "status"), [(STRANGER, 403), ("null", 403), ("OWN", 101), (None, 101)])
async def test_websockets_are_for_our_own_pages_and_for_programs(bob: Client, path: str, origin: str | None, status: int) -> None:
    assert await shaken(bob, path, bob.url if origin == "OWN" else origin) == status


async def shaken(client: Client, path: str, origin: str | None) -> int:
    protocols = ("graphql-transport-ws",) if path == "/graphql" else ()
    try:
        async with client.session.ws_connect(client.url + path, origin=origin, protocols=protocols):
            return 101
    except aiohttp.WSServerHandshakeError as error:
        return error.status


class TestPublic:
    """Our own pages behind a proxy that puts in a host of its own."""

    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return msgspec.structs.replace(settings, public_url=f"{FRIEND}/somewhere/")

    async def test_are_known_by_the_public_address(self, bob: Client) -> None:
        for origin, status, shake in ((FRIEND, 201, 101), (FRIEND.replace("https", "http"), 401, 403), (STRANGER, 401, 403)):
            assert (await ask(bob, "POST", "/api/chats/new", cookie(bob, Origin=origin), BODY)).status == status
            assert await shaken(bob, "/graphql", origin) == shake


class TestNamed:
    """An origin that the operator has named."""

    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return msgspec.structs.replace(settings, cors_origins=(f"{FRIEND}/",))

    async def test_may_ask_first_and_hears_the_addresss_methods(self, visitor: Client) -> None:
        reply = await ask(visitor, "OPTIONS", "/api/chats/some-id", {"Origin": FRIEND, "Access-Control-Request-Method": "DELETE"})
        assert reply.status == 204
        assert reply.headers["Access-Control-Allow-Origin"] == FRIEND
        assert reply.headers["Access-Control-Allow-Credentials"] == "true"
        assert {"DELETE", "GET", "POST"} <= set(reply.headers["Access-Control-Allow-Methods"].split(", "))
        assert {"Authorization", "Content-Type", "Last-Event-ID"} <= set(reply.headers["Access-Control-Allow-Headers"].split(", "))
        assert "Origin" in reply.headers["Vary"]

    async def test_may_send_whatever_headers_its_libraries_send(self, visitor: Client) -> None:
        asked = {"Origin": FRIEND, "Access-Control-Request-Method": "POST"}
        path, wanted = "/v1/chat/completions", "authorization,content-type,x-stainless-lang,x-stainless-retry-count"
        reply = await ask(visitor, "OPTIONS", path, asked | {"Access-Control-Request-Headers": wanted})
        allowed = {name.strip().lower() for name in reply.headers["Access-Control-Allow-Headers"].split(",")}
        assert set(wanted.split(",")) <= allowed
        for odd in ("x y", "a,,b", "é", "*;", ","):
            reply = await ask(visitor, "OPTIONS", path, asked | {"Access-Control-Request-Headers": odd})
            assert (reply.status, odd in reply.headers["Access-Control-Allow-Headers"].split(", ")) == (204, False)

    async def test_reads_answers_errors_and_streams_with_their_headers(self, bob: Client) -> None:
        for path, status in (("/api/auths/", 200), ("/api/chats/nothing", 404), ("/nothing", 404), ("/api/generations/x/events", 404)):
            reply = await ask(bob, "GET", path, bob.headers | {"Origin": FRIEND})
            assert (reply.status, reply.headers["Access-Control-Allow-Origin"]) == (status, FRIEND)
            assert "X-RateLimit-Remaining" in reply.headers["Access-Control-Expose-Headers"]
            assert reply.headers["Vary"] == "Origin"
        assert (await ask(bob, "GET", "/api/auths/", {"Origin": FRIEND})).headers["Access-Control-Allow-Origin"] == FRIEND

    async def test_may_use_the_cookie_and_websockets(self, bob: Client) -> None:
        assert (await ask(bob, "POST", "/api/chats/new", cookie(bob, Origin=FRIEND), BODY)).status == 201
        assert [await shaken(bob, path, FRIEND) for path in ("/graphql", "/socket.io/?EIO=4&transport=websocket")] == [101, 101]

    @pytest.mark.parametrize("method", ["GET", "POST"])
    async def test_signs_out(self, bob: Client, method: str) -> None:
        said = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "empty"}
        assert (await ask(bob, method, "/api/auths/signout", cookie(bob, Origin=STRANGER, **said))).status in {401, 403}
        assert (await ask(bob, method, "/api/auths/signout", cookie(bob, Origin=FRIEND, **said))).status == 200

    async def test_nobody_else_may(self, bob: Client) -> None:
        reply = await ask(bob, "GET", "/api/auths/", bob.headers | {"Origin": STRANGER})
        assert (reply.status, "Access-Control-Allow-Origin" in reply.headers, reply.headers["Vary"]) == (200, False, "Origin")
        assert (await ask(bob, "POST", "/api/chats/new", cookie(bob, Origin=STRANGER), BODY)).status == 401
        asked = {"Origin": STRANGER, "Access-Control-Request-Method": "POST"}
        assert (await ask(bob, "OPTIONS", "/api/chats/new", asked)).status == 405

    async def test_hears_of_an_address_that_is_not_there(self, visitor: Client) -> None:
        reply = await ask(visitor, "OPTIONS", "/nothing", {"Origin": FRIEND, "Access-Control-Request-Method": "GET"})
        assert (reply.status, reply.headers["Access-Control-Allow-Origin"]) == (404, FRIEND)


class TestAny:
    """Every origin, by ``*``."""

    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return msgspec.structs.replace(settings, cors_origins=("*", FRIEND))

    async def test_reads_answers_to_a_token_but_has_no_cookie(self, bob: Client) -> None:
        reply = await ask(bob, "GET", "/api/auths/", bob.headers | {"Origin": STRANGER})
        assert reply.headers["Access-Control-Allow-Origin"] == "*"
        assert "Access-Control-Allow-Credentials" not in reply.headers
        assert (await ask(bob, "POST", "/api/chats/new", cookie(bob, Origin=STRANGER), BODY)).status == 401
        assert await shaken(bob, "/graphql", STRANGER) == 101

    async def test_one_that_is_named_too_has(self, bob: Client) -> None:
        reply = await ask(bob, "POST", "/api/chats/new", cookie(bob, Origin=FRIEND), BODY)
        assert (reply.status, reply.headers["Access-Control-Allow-Credentials"]) == (201, "true")


def test_what_is_no_origin_ends_the_start() -> None:
    with pytest.raises(SettingsError, match="PENSTOCK_CORS_ORIGINS"):
        load({"cors_origins": ["https://chat.example.com/path"]})
