"""What people keep to themselves stays out of logs, errors and lists."""

import asyncio
from typing import Any

import msgspec
import pytest
import socketio
from structlog.testing import capture_logs

from tests.api.conftest import Client
from tests.api.socketio_client import connect_socket

PASSWORD = "correct horse battery"  # as the fixtures' users have it
WRONG = "a wrong guess of mine"
JSON = {"Content-Type": "application/json"}


async def test_no_token_key_or_password_is_ever_logged(
    bob: Client, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    with capture_logs() as logs:
        signed = await bob.post("/api/auths/signin", {"email": "bob@example.com", "password": PASSWORD})
        await bob.post("/api/auths/signin", {"email": "bob@example.com", "password": WRONG})
        await bob.post("/api/auths/signin", {"email": "bob@example.com", "password": [WRONG]})
        key = (await bob.post("/api/users/api_key", {"name": "mine"})).body["api_key"]
        for token in (bob.token, key):
            await bob.get(f"/api/chats/?token={token}", headers={"Authorization": f"Bearer {token}"})
            await bob.get("/api/chats/", headers={"Cookie": f"token={token}"})
            await bob.get(f"/nothing?token={token}")
            await malformed(bob, token)
            query = {"query": "mutation($e: String!, $p: String!) { signIn(email: $e, password: $p) { token } }"}
            await bob.post("/graphql", query | {"variables": {"e": "bob@example.com", "p": PASSWORD}}, headers=JSON)
            await bob.post("/graphql", query | {"variables": {"e": "bob@example.com", "p": [WRONG]}}, headers=JSON)
        async with connect_socket(bob) as socket:
            await socket.call("join_chat", {"chat_id": "x", "token": bob.token})
        with pytest.raises(socketio.exceptions.ConnectionError):
            async with connect_socket(Client(bob.url, bob.session, bob.user, f"{bob.token}x")):
                pass
    written = f"{logs} {caplog.text} {capsys.readouterr()}"
    assert len(logs) > 10
    for secret in (PASSWORD, WRONG, key, bob.token, signed.body["token"]):
        assert secret not in written


async def malformed(client: Client, token: str) -> None:
    """A request that is none, with a token in it."""
    host, _, port = client.url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\x00\r\n\r\n".encode())
    assert token.encode() not in await reader.read()
    writer.close()


async def test_no_error_repeats_what_was_secret(bob: Client) -> None:
    for path, body in (
        ("/api/auths/signin", {"email": "bob@example.com", "password": WRONG}),
        ("/api/auths/signin", {"email": "bob@example.com", "password": {"is": WRONG}}),
        ("/api/auths/signup", {"name": "B", "email": "bob@example.com", "password": WRONG}),
        ("/api/auths/update/password", {"password": WRONG, "new_password": WRONG}),
    ):
        reply = await bob.post(path, body)
        assert (reply.status >= 400, WRONG in str(reply.body)) == (True, False)


async def test_a_bug_on_a_socket_is_a_reference_too(bob: Client, services: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: Any, **__: Any) -> None:
        message = "the secret inside"
        raise ZeroDivisionError(message)

    async with connect_socket(bob) as socket:
        monkeypatch.setattr(services.chats, "readable", broken)
        with capture_logs() as logs:
            answer = await socket.call("join_chat", {"chat_id": "x"})
    (line,) = [line for line in logs if line["event"] == "unhandled error"]
    assert answer["error"]["detail"].endswith(f"reference: {line['reference']}.")
    assert "secret" not in msgspec.json.encode(answer).decode()
