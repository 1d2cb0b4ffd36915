import json
import zlib
from typing import Any

import aiohttp
import msgspec
import pytest
from structlog.testing import capture_logs
from yarl import URL

from core.settings import Settings
from tests.api.conftest import Client


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/api/nothing/here", 404),
        ("PATCH", "/api/chats/new", 405),
        ("GET", "/api/auths/signin", 405),
        ("POST", "/health", 405),
    ],
)
async def test_the_frameworks_own_errors_have_the_one_shape(bob: Client, method: str, path: str, status: int) -> None:
    reply = await bob.ask(method, path)
    assert (reply.status, list(reply.body)) == (status, ["detail"])
    assert reply.headers["Content-Type"].startswith("application/json")
    assert ("Allow" in reply.headers) == (status == 405)


async def test_on_openais_paths_they_have_openais_shape_beside_it(bob: Client) -> None:
    for path, status in (("/v1/nothing", 404), ("/v1/chat/completions", 405)):
        reply = await bob.get(path)
        assert reply.status == status
        assert set(reply.body["error"]) == {"message", "type", "param", "code"}
        assert reply.body["error"]["message"] == reply.body["detail"]


class TestLargeBodies:
    """Beyond what the operator allows."""

    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return msgspec.structs.replace(settings, max_body_mb=1)

    async def test_are_refused_by_their_length(self, bob: Client) -> None:
        reply = await bob.post("/api/chats/new", {"chat": {"title": "x" * 1_100_000}})
        assert (reply.status, reply.body) == (413, {"detail": "The body is larger than 1 MB, which is the limit."})

    async def test_are_refused_without_it_too_and_unpacked(self, bob: Client) -> None:
        packed = zlib.compress(b" " * 5_000_000)
        reply = await bob.post("/api/chats/new", packed, headers={"Content-Encoding": "deflate"})
        assert (reply.status, list(reply.body)) == (413, ["detail"])


@pytest.mark.parametrize(
    ("kind", "body"),
    [("application/x-www-form-urlencoded", b"email=a&password=b"), ("multipart/form-data; boundary=x", b"--x--"), ("text/plain", b"hello")],
)
async def test_what_is_no_json_is_told_what_it_should_have_been(visitor: Client, kind: str, body: bytes) -> None:
    reply = await visitor.post("/api/auths/signin", body, headers={"Content-Type": kind})
    assert reply.status == 400
    assert reply.body["detail"].endswith(f"It came as {kind.split(';', maxsplit=1)[0]}: send it with `Content-Type: application/json`.")


@pytest.mark.parametrize("kind", ["application/json", "application/json; charset=utf-8", "text/plain", ""])
async def test_json_counts_whatever_it_is_called(bob: Client, kind: str) -> None:
    body = {"email": "bob@example.com", "password": "correct horse battery"}
    assert (await bob.post("/api/auths/signin", body, headers={"Content-Type": kind})).status == 200


async def test_unknown_fields_and_parameters_are_ignored(bob: Client) -> None:
    body = {"email": "bob@example.com", "password": "correct horse battery", "colour": "red"}
    assert (await bob.post("/api/auths/signin?colour=red", body)).status == 200


async def test_a_validation_error_names_the_field_and_what_is_allowed(bob: Client) -> None:
    reply = await bob.post("/api/auths/signin", {"email": 3, "password": "x"})
    assert (reply.status, reply.body) == (400, {"detail": "email must be a string, not a whole number."})
    reply = await bob.post("/api/auths/signin", {"email": "x"})
    assert (reply.status, reply.body) == (400, {"detail": "password is missing: it must be a string."})


@pytest.mark.parametrize(
    "path", ["%00", "%ff%fe", "%ed%a0%80", "%zz", "%", "..%2f..%2fetc%2fpasswd", "a%0d%0ab", "%F0%9F%92%A9", "x" * 5000]
)
async def test_an_id_of_any_bytes_is_not_found_and_no_bug(bob: Client, path: str) -> None:
    for address in (f"/api/chats/{path}", f"/api/generations/{path}/events", f"/api/nothing/{path}", f"/s/{path}"):
        async with bob.session.get(URL(bob.url + address, encoded=True), headers=bob.headers) as response:
            assert (response.status, list(await response.json())) == (404, ["detail"])


@pytest.mark.parametrize("query", ["limit=%00", "limit=", "limit=x", "limit=-1", "limit=%ff"])
async def test_a_query_that_cannot_be_used_names_the_parameter(bob: Client, query: str) -> None:
    async with bob.session.get(URL(f"{bob.url}/api/chats/?{query}", encoded=True), headers=bob.headers) as response:
        assert (response.status, (await response.json())["detail"][:6]) == (400, "limit ")


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "ÿ", "sk-", "sk-" + "x" * 4000, "..", "eyJhbGciOiJub25lIn0.e30."])
async def test_any_token_that_is_none_is_refused_alike(visitor: Client, token: str) -> None:
    reply = await visitor.get("/api/auths/", headers={"Authorization": f"Bearer {token}"})
    assert (reply.status, list(reply.body), reply.headers["WWW-Authenticate"]) == (401, ["detail"], "Bearer")


async def test_a_bug_shows_a_reference_that_the_log_line_has_too_and_nothing_else(
    bob: Client, services: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: Any, **__: Any) -> None:
        message = "the secret inside"
        raise ZeroDivisionError(message)

    monkeypatch.setattr(services.chats, "list", broken)
    with capture_logs() as logs:
        reply = await bob.get("/api/chats/")
    assert reply.status == 500
    (bug,) = [line for line in logs if line["event"] == "unhandled error"]
    assert reply.body["detail"].endswith(f"reference: {bug['reference']}.")
    assert "secret" not in json.dumps(reply.body)


async def test_one_line_is_logged_for_a_request_without_its_query_or_secrets(bob: Client) -> None:
    with capture_logs() as logs:
        reply = await bob.get("/api/chats/?limit=1&token=hush", headers={"X-Request-ID": "my-id.1"})
    assert reply.headers["X-Request-ID"] == "my-id.1"
    (line,) = logs
    assert (line["method"], line["path"], line["status"], line["user"]) == ("GET", "/api/chats/", 200, bob.user["id"])
    assert "hush" not in str(line)
    assert bob.token not in str(line)


async def test_a_request_id_that_could_harm_a_log_is_not_taken(bob: Client) -> None:
    reply = await bob.get("/health", headers={"X-Request-ID": "a b{}\t"})
    assert len(reply.headers["X-Request-ID"]) == 16


async def test_a_client_that_leaves_while_it_sends_is_no_bug(bob: Client) -> None:
    async def half() -> Any:
        yield b'{"chat":'
        raise ConnectionResetError

    with capture_logs() as logs:
        with pytest.raises(aiohttp.ClientError):
            await bob.session.post(bob.url + "/api/chats/new", data=half(), headers=bob.headers)
        assert (await bob.get("/health")).status == 200
    assert not [line for line in logs if line["event"] == "unhandled error"]
