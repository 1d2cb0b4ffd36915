import re
import time
from typing import Any

import openai
import pytest
import socketio

from core.models.users import Role
from core.services import Services
from core.storage import api_keys, users
from tests.api.conftest import Client, Reply
from tests.api.manual_jobs import claim_next
from tests.api.socketio_client import connect_socket
from tests.polling import until


async def made(user: Client, **body: Any) -> tuple[Client, dict[str, Any]]:
    """A client that comes with a new key, and what was told of that key."""
    reply = await user.post("/api/users/api_key", {"name": "My API Key", **body})
    assert reply.status == 201, reply
    return Client(user.url, user.session, user.user, reply.body["api_key"]), reply.body


async def me(user: Client) -> Reply:
    """Who they are, over GraphQL."""
    return await user.post("/graphql", {"query": "{ me { email } }"}, headers={"Content-Type": "application/json"})


async def test_a_key_is_shown_once_and_is_told_of_without_it(bob: Client) -> None:
    program, key = await made(bob)
    assert re.fullmatch(r"sk-[A-Za-z0-9_-]{43,}", key["api_key"])
    assert (key["name"], key["last_four"], key["expires_at"], key["last_used_at"]) == ("My API Key", key["api_key"][-4:], None, None)
    assert abs(key["created_at"] - time.time()) < 60
    listed = await bob.get("/api/users/api_keys")
    assert listed.body == [{name: value for name, value in key.items() if name != "api_key"}]
    assert program.token not in str(listed.body)


async def test_keys_are_listed_in_the_order_they_were_made_also_within_one_second(bob: Client) -> None:
    for number in range(6):
        await made(bob, name=str(number))
    assert [key["name"] for key in (await bob.get("/api/users/api_keys")).body] == list("012345")


async def test_only_a_hash_of_a_key_is_stored(bob: Client, services: Services) -> None:
    program, _ = await made(bob)
    (record,) = await services.records.find(api_keys.COLLECTION, {}, dict)
    assert program.token not in str(record)
    assert len(record["key_hash"]) == 64


async def test_a_key_opens_what_a_token_opens(bob: Client, services: Services) -> None:
    program, _ = await made(bob)
    assert (await program.get("/api/auths/")).body["email"] == "bob@example.com"
    chat_id = await program.chat()
    assert [chat["id"] for chat in (await bob.get("/api/chats/")).body] == [chat_id]
    async with openai.AsyncOpenAI(base_url=f"{bob.url}/v1", api_key=program.token) as sdk:
        assert [model.id async for model in sdk.models.list()] == ["echo"]
    assert (await me(program)).body == {"data": {"me": {"email": "bob@example.com"}}}
    async with connect_socket(program) as socket:
        await socket.call("message", {"chat_id": chat_id, "message": {"content": "by key"}})
        making = await claim_next(services)
        await making.finish()
        await socket.hears(2)


async def test_a_keys_use_is_noted_beside_the_request_once_a_minute(bob: Client, services: Services) -> None:
    program, key = await made(bob)

    async def noted() -> int | None:
        last: int | None = (await bob.get("/api/users/api_keys")).body[0]["last_used_at"]
        return last

    await program.get("/api/auths/")
    assert await until(noted, "it is noted") >= key["created_at"]
    await services.records.update(api_keys.COLLECTION, key["id"], {"last_used_at": 1})
    await program.get("/api/auths/")
    await until(lambda: not services.users._noting, "it is noted again")
    last = await noted()
    assert last is not None
    assert last > 1


async def test_a_revoked_key_opens_nothing_at_once_on_every_process(bob: Client, elsewhere: str, services: Services) -> None:
    program, key = await made(bob)
    program_there = Client(elsewhere, bob.session, bob.user, program.token)
    async with connect_socket(program) as socket:
        assert (await program_there.get("/api/auths/")).status == 200
        assert (await bob.delete(f"/api/users/api_key/{key['id']}")).body is True
        for client in (program, program_there):
            reply = await client.get("/api/auths/")
            assert reply.status == 401
            assert program.token not in str(reply.body)
        await until(lambda: not socket.client.connected, "the socket is let out")
        assert [data["code"] for data in socket.of("error")] == ["unauthenticated"]
    with pytest.raises(socketio.exceptions.ConnectionError):
        async with connect_socket(program):
            pass
    assert (await me(program)).body["errors"][0]["extensions"]["code"] == "unauthenticated"
    assert (await bob.get("/api/users/api_keys")).body == []
    assert (await bob.delete(f"/api/users/api_key/{key['id']}")).status == 404
    assert await services.records.count(api_keys.COLLECTION, {}) == 0


async def test_a_key_expires_at_its_time(bob: Client, services: Services) -> None:
    program, key = await made(bob, expires_at=int(time.time()) + 3600)
    assert (await program.get("/api/auths/")).status == 200
    await services.records.update(api_keys.COLLECTION, key["id"], {"expires_at": int(time.time())})
    reply = await program.get("/api/auths/")
    assert (reply.status, "expired" in reply.body["detail"]) == (401, True)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"expires_at": 1}, "expires_at"),
        ({"expires_at": "tomorrow"}, "expires_at"),
        ({"expires_at": 10**30}, "expires_at"),
        ({"name": "  "}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"name": 7}, "name"),
    ],
)
async def test_what_is_wrong_with_a_key_is_named(bob: Client, body: dict[str, Any], field: str) -> None:
    reply = await bob.post("/api/users/api_key", body)
    assert (reply.status, field in reply.body["detail"]) == (400, True)


async def test_a_key_without_a_name_gets_one_and_may_be_renamed(bob: Client) -> None:
    key = (await bob.post("/api/users/api_key", {})).body
    assert key["name"] == "API key"
    renamed = await bob.post(f"/api/users/api_key/{key['id']}", {"name": " Nightly run "})
    assert (renamed.status, renamed.body["name"]) == (200, "Nightly run")
    assert "api_key" not in renamed.body
    assert (await bob.get("/api/users/api_keys")).body[0]["name"] == "Nightly run"
    assert (await bob.post(f"/api/users/api_key/{key['id']}", {"name": ""})).status == 400


async def test_a_strangers_key_is_not_there_not_even_for_an_administrator(ada: Client, bob: Client, eve: Client) -> None:
    _, key = await made(bob)
    for stranger in (eve, ada):
        assert (await stranger.get("/api/users/api_keys")).body == []
        assert (await stranger.post(f"/api/users/api_key/{key['id']}", {"name": "x"})).status == 404
        assert (await stranger.delete(f"/api/users/api_key/{key['id']}")).status == 404
    assert (await bob.get("/api/users/api_keys")).body[0]["name"] == "My API Key"


async def test_a_key_may_see_keys_but_neither_make_nor_change_them(bob: Client) -> None:
    program, key = await made(bob)
    assert len((await program.get("/api/users/api_keys")).body) == 1
    for reply in (
        await program.post("/api/users/api_key", {"name": "another"}),
        await program.post(f"/api/users/api_key/{key['id']}", {"name": "x"}),
        await program.delete(f"/api/users/api_key/{key['id']}"),
    ):
        assert reply.status == 403
        assert "Sign in" in reply.body["detail"]


async def test_a_pending_or_deleted_users_key_opens_nothing(bob: Client, services: Services) -> None:
    program, _ = await made(bob)
    await services.records.update(users.COLLECTION, bob.user["id"], {"role": Role.PENDING})
    assert (await program.get("/api/chats/")).status == 403
    assert (await bob.post("/api/users/api_key", {})).status == 403
    await services.records.delete(users.COLLECTION, {"_id": bob.user["id"]})
    assert (await program.get("/api/auths/")).status == 401


@pytest.mark.parametrize("key", ["sk-", "sk-nonsense", "sk-ä", "SK-" + "x" * 48])
async def test_any_other_key_is_refused(bob: Client, key: str) -> None:
    stranger = Client(bob.url, bob.session, token=key)
    assert (await stranger.get("/api/auths/")).status == 401
