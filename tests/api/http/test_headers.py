import msgspec
import pytest

from core.settings import Settings
from tests.api.conftest import Client

NONE = "default-src 'none'; frame-ancestors 'none'"
PAGES = ("/docs", "/redoc", "/graphql", "/s/anything")


@pytest.mark.parametrize("path", ["/api/auths/", "/nothing", "/health", "/graphql", "/openapi.json", "/socket.io/?EIO=4", *PAGES])
async def test_every_answer_carries_the_headers_that_keep_browsers_safe(bob: Client, path: str) -> None:
    accept = {"Accept": "text/html"} if path in PAGES else {}
    async with bob.session.get(bob.url + path, headers=bob.headers | accept) as reply:
        headers = reply.headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Referrer-Policy"] in {"no-referrer", "same-origin"}
    assert headers["Cache-Control"] in {"no-store", "no-cache"}
    assert "Strict-Transport-Security" not in headers
    assert headers["Server"] == "Penstock"
    policy = headers["Content-Security-Policy"]
    assert (policy == NONE) == (path not in PAGES)
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe-eval" not in policy


@pytest.mark.parametrize(
    "path", ["/static/graphiql/start.js", "/static/swagger/start.js", "/static/redoc/start.js", "/static/shared/page.js", "/user.png"]
)
async def test_pages_assets_are_kept_for_a_while_and_asked_for_by_their_tag(visitor: Client, path: str) -> None:
    async with visitor.session.get(visitor.url + path) as asset:
        assert (asset.status, asset.headers["Cache-Control"]) == (200, "public, max-age=3600")
        assert asset.headers["X-Content-Type-Options"] == "nosniff"
        tag = asset.headers["ETag"]
    async with visitor.session.get(visitor.url + path, headers={"If-None-Match": tag}) as again:
        assert (again.status, again.headers["Cache-Control"]) == (304, "public, max-age=3600")


@pytest.mark.parametrize(
    "path", ["/static/graphiql/", "/static/graphiql/nothing.js", "/static/graphiql/../../app.py", "/static/graphiql/%2e%2e/%2e%2e/app.py"]
)
async def test_nothing_else_comes_out_of_the_assets_folder(visitor: Client, path: str) -> None:
    reply = await visitor.get(path)
    assert (reply.status in {403, 404}, list(reply.body), reply.headers["Cache-Control"]) == (True, ["detail"], "no-store")


async def test_the_cookie_is_out_of_reach_of_scripts_and_of_other_sites(bob: Client) -> None:
    reply = await bob.post("/api/auths/signin", {"email": "bob@example.com", "password": "correct horse battery"})
    cookie = reply.headers["Set-Cookie"]
    assert all(word in cookie for word in ("HttpOnly", "SameSite=Lax", "Path=/"))


async def test_a_page_of_another_site_cannot_sign_a_browser_in(bob: Client) -> None:
    body = {"email": "bob@example.com", "password": "correct horse battery"}
    for headers, given in (
        ({"Origin": "https://evil.example.com"}, False),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Origin": bob.url}, True),
    ):
        reply = await bob.post("/api/auths/signin", body, headers=headers)
        assert (reply.status, "Set-Cookie" in reply.headers) == (200, given)


class TestOverHttps:
    """As a trusted proxy says."""

    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return msgspec.structs.replace(settings, trusted_proxies=("127.0.0.1",))

    async def test_browsers_are_told_to_stay_there(self, visitor: Client) -> None:
        reply = await visitor.get("/health", headers={"X-Forwarded-Proto": "https"})
        assert reply.headers["Strict-Transport-Security"] == "max-age=31536000"
        assert "Strict-Transport-Security" not in (await visitor.get("/health")).headers
