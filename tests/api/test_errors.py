import json
from typing import Any

import aiohttp
import pytest
from structlog.testing import capture_logs

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


async def test_a_body_that_is_too_large_is_refused(bob: Client, app: Any) -> None:
    app._client_max_size = 1000
    reply = await bob.post("/api/chats/new", {"chat": {"title": "x" * 2000}})
    assert (reply.status, list(reply.body)) == (413, ["detail"])


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
    (bug,) = [line for line in logs if line["event"] == "bug"]
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


async def test_every_answer_carries_the_headers_that_keep_browsers_safe(bob: Client) -> None:
    for path in ("/api/auths/", "/nothing", "/health", "/graphql"):
        reply = await bob.session.get(bob.url + path, headers=bob.headers)
        assert reply.headers["X-Content-Type-Options"] == "nosniff"
        assert reply.headers["Cache-Control"] == "no-store"
        assert reply.headers["X-Frame-Options"] == "SAMEORIGIN"


async def test_a_client_that_leaves_while_it_sends_is_no_bug(bob: Client) -> None:
    async def half() -> Any:
        yield b'{"chat":'
        raise ConnectionResetError

    with capture_logs() as logs:
        with pytest.raises(aiohttp.ClientError):
            await bob.session.post(bob.url + "/api/chats/new", data=half(), headers=bob.headers)
        assert (await bob.get("/health")).status == 200
    assert not [line for line in logs if line["event"] == "bug"]
