"""What proxies say of clients, believed or not."""

from typing import Any

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict

from api.http.proxies import Proxies, client_address
from core.errors import SettingsError
from core.settings import Settings, load
from tests.api.conftest import Client

PROXIES = Proxies(("10.0.0.0/8", "::1"))


@pytest.mark.parametrize(
    ("headers", "seen"),
    [
        ({}, ("10.0.0.1", None, None)),
        ({"X-Forwarded-For": "203.0.113.7"}, ("203.0.113.7", None, None)),
        ({"X-Forwarded-For": "1.1.1.1, 203.0.113.7"}, ("203.0.113.7", None, None)),
        ({"X-Forwarded-For": "1.1.1.1, 203.0.113.7, 10.2.3.4"}, ("203.0.113.7", None, None)),
        ({"X-Forwarded-For": "10.9.9.9, 10.2.3.4"}, ("10.9.9.9", None, None)),
        ({"X-Forwarded-For": "203.0.113.7:4711"}, ("203.0.113.7", None, None)),
        ({"X-Forwarded-For": "[2001:db8::7]:4711"}, ("2001:db8::7", None, None)),
        ({"X-Forwarded-For": "::ffff:203.0.113.7"}, ("203.0.113.7", None, None)),
        ({"X-Forwarded-For": "203.0.113.7, <script>"}, ("10.0.0.1", None, None)),
        ({"X-Forwarded-For": "203.0.113.7", "X-Forwarded-Proto": "https"}, ("203.0.113.7", "https", None)),
        ({"X-Forwarded-For": "1.1.1.1, 203.0.113.7", "X-Forwarded-Proto": "https, http"}, ("203.0.113.7", "http", None)),
        ({"X-Forwarded-For": "203.0.113.7, 10.2.3.4", "X-Forwarded-Proto": "https"}, ("203.0.113.7", "https", None)),
        ({"X-Forwarded-Proto": "https", "X-Forwarded-Host": "chat.example.com"}, ("10.0.0.1", "https", "chat.example.com")),
        ({"X-Forwarded-Proto": "javascript", "X-Forwarded-Host": "a b/@c"}, ("10.0.0.1", None, None)),
        ({"X-Forwarded-Host": "[2001:db8::1]:8443"}, ("10.0.0.1", None, "[2001:db8::1]:8443")),
        (
            {"Forwarded": 'for=1.1.1.1, For="[2001:db8::7]:4711";proto=https;host=chat.example.com'},
            ("2001:db8::7", "https", "chat.example.com"),
        ),
        ({"Forwarded": "for=unknown;proto=https"}, ("10.0.0.1", "https", None)),
        ({"Forwarded": "for=1.1.1.1", "X-Forwarded-For": "203.0.113.7"}, ("203.0.113.7", None, None)),
    ],
)
def test_the_first_address_from_the_right_that_is_no_proxy_is_the_client(headers: dict[str, str], seen: tuple[str, Any, Any]) -> None:
    assert PROXIES.find_client("10.0.0.1", CIMultiDict(headers)) == seen


def test_nobody_else_is_believed() -> None:
    headers = CIMultiDict({"X-Forwarded-For": "203.0.113.7", "X-Forwarded-Proto": "https"})
    assert PROXIES.find_client("192.0.2.1", headers) is None
    assert PROXIES.find_client("", headers) is None
    assert PROXIES.find_client("::1", headers) == ("203.0.113.7", "https", None)


@pytest.mark.parametrize(
    ("remote", "counted"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
    ],
)
def test_clients_are_counted_by_what_one_customer_has(remote: str, counted: str) -> None:
    assert client_address(make_mocked_request("GET", "/").clone(remote=remote)) == counted


class TestBehindAProxy:
    """A server whose peer is trusted."""

    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return msgspec.structs.replace(settings, trusted_proxies=("127.0.0.1",))

    @pytest.fixture
    def app(self, app: web.Application) -> web.Application:
        async def seen(request: web.Request) -> web.Response:
            return web.json_response([request.scheme, request.host, request.remote])

        app.router.add_get("/seen", seen)
        return app

    async def test_handlers_see_what_the_client_sees(self, bob: Client) -> None:
        headers = {"X-Forwarded-For": "203.0.113.7", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "chat.example.com"}
        assert (await bob.get("/seen", headers=headers)).body == ["https", "chat.example.com", "203.0.113.7"]

    async def test_a_cookie_given_over_https_stays_there(self, bob: Client) -> None:
        body = {"email": "bob@example.com", "password": "correct horse battery"}
        reply = await bob.post("/api/auths/signin", body, headers={"X-Forwarded-Proto": "https"})
        assert "Secure" in reply.headers["Set-Cookie"]
        assert "Secure" not in (await bob.post("/api/auths/signin", body)).headers["Set-Cookie"]


async def test_without_the_setting_nothing_is_believed(bob: Client) -> None:
    body = {"email": "bob@example.com", "password": "correct horse battery"}
    assert "Secure" not in (await bob.post("/api/auths/signin", body, headers={"X-Forwarded-Proto": "https"})).headers["Set-Cookie"]


def test_a_proxy_that_is_no_address_ends_the_start() -> None:
    with pytest.raises(SettingsError, match=r"PENSTOCK_TRUSTED_PROXIES: 'proxy\.local' is no address"):
        load({"trusted_proxies": ["proxy.local"]})
