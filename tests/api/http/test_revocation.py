"""Streams that are open when a token loses its worth: they end at once, on every process, and no others do."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import aiohttp
import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from api.http import revocation, sse
from api.http.disconnects import Connections
from api.http.keys import CONNECTIONS, HELD_TOKENS, ORPHANED_COMPLETIONS
from core.errors import Unauthenticated, Unavailable
from core.models.events import Progress
from core.models.pulls import StartPull
from core.models.users import Principal, User
from core.redis.keys import job_key
from core.services import Services
from core.storage import users
from tests.api.conftest import Client
from tests.api.manual_jobs import claim_next
from tests.api.openai.test_completions import ASK, PATHS
from tests.api.rest.test_api_keys import made
from tests.api.rest.test_generations import path_of, started
from tests.core.services.people import ADMIN
from tests.polling import until

PASSWORD = "correct horse battery"
ENDED = (
    'event: error\ndata: {"detail":"This session has ended: you signed out, or your password was changed. Sign in again.",'
    '"code":"unauthenticated"}\n\n'
)


async def again(user: Client) -> Client:
    """The same user, signed in once more."""
    reply = await user.post("/api/auths/signin", {"email": user.user["email"], "password": PASSWORD})
    return Client(user.url, user.session, user.user, reply.body["token"])


@asynccontextmanager
async def following(user: Client, generation_id: str, url: str = "") -> AsyncIterator[aiohttp.ClientResponse]:
    """A stream of an answer, of which the first event has come."""
    async with user.session.get((url or user.url) + path_of(generation_id), headers=user.headers) as response:
        assert response.status == 200
        assert await response.content.readline() == b"retry: 500\n"
        yield response


async def rest(response: aiohttp.ClientResponse) -> str:
    """What comes until the server ends it."""
    async with asyncio.timeout(10):
        return (await response.read()).decode()


async def test_signing_out_ends_the_streams_of_that_session_on_every_process_and_the_answer_goes_on(
    bob: Client, services: Services, elsewhere: str
) -> None:
    leaving = await again(bob)
    generation_id, making = await started(bob, services)
    async with (
        following(leaving, generation_id) as here,
        following(leaving, generation_id, elsewhere) as there,
        following(bob, generation_id) as kept,
    ):
        assert (await leaving.post("/api/auths/signout", {})).status == 200
        for ended in (here, there):
            assert (await rest(ended)).endswith(ENDED)
        await making.say("to the end")
        await making.finish()
        assert "event: finished" in await rest(kept)
    assert (await leaving.get(path_of(generation_id))).status == 401
    chat = (await bob.get(f"/api/chats/{making.spec.chat_id}")).body["chat"]
    assert chat["messages"][1]["content"] == "to the end"


async def test_a_changed_password_ends_the_streams_of_other_sessions(bob: Client, services: Services) -> None:
    other = await again(bob)
    generation_id, making = await started(bob, services)
    async with following(other, generation_id) as ended, following(bob, generation_id) as kept:
        body = {"password": PASSWORD, "new_password": "another horse battery"}
        assert (await bob.post("/api/auths/update/password", body)).status == 200
        assert (await rest(ended)).endswith(ENDED)
        await making.finish()
        assert "event: finished" in await rest(kept)


async def test_a_user_who_is_demoted_or_deleted_hears_no_more(ada: Client, bob: Client, eve: Client, services: Services) -> None:
    bobs, _ = await started(bob, services)
    eves, making = await started(eve, services)
    async with following(bob, bobs) as demoted, following(eve, eves) as deleted:
        assert (await ada.post(f"/api/users/{bob.user['id']}/role", {"role": "pending"})).status == 200
        assert '"code":"forbidden"' in await rest(demoted)
        assert (await ada.delete(f"/api/users/{eve.user['id']}")).status == 200
        assert await rest(deleted)
    assert await services.redis.hget(job_key(making.spec.id), "cancel") == b"1"


async def test_a_completion_of_a_revoked_key_ends_with_openais_error_and_is_stopped(
    bob: Client, services: Services, app: web.Application
) -> None:
    app[ORPHANED_COMPLETIONS]._grace_s = 0.2
    program, key = await made(bob)
    whole = asyncio.create_task(program.post(PATHS[0], ASK))
    making = await claim_next(services)
    asked = asyncio.create_task(program.session.post(program.url + PATHS[0], json=ASK | {"stream": True}, headers=program.headers))
    streaming = await claim_next(services)
    await streaming.say("one ")
    async with await asked as response:
        assert await response.content.readline() == b"id: 1-2\n"
        await bob.delete(f"/api/users/api_key/{key['id']}")
        lines = (await rest(response)).rstrip("\n").split("\n")
    assert "one " in lines[0]
    error = msgspec.json.decode(lines[-1].removeprefix("data: "))["error"]
    assert (error["code"], error["type"], "[DONE]" in str(lines)) == ("invalid_api_key", "authentication_error", False)
    refused = await whole
    assert (refused.status, refused.body["error"]["code"]) == (401, "invalid_api_key")
    for job in (making, streaming):
        key_of = job_key(job.spec.id)
        await until(lambda key=key_of: services.redis.hget(key, "cancel"), "the answer is stopped")  # type: ignore[misc]


async def test_an_answer_of_a_revoked_key_goes_on_while_its_user_listens(bob: Client, services: Services, app: web.Application) -> None:
    app[ORPHANED_COMPLETIONS]._grace_s = 0.2
    program, key = await made(bob)
    asked = asyncio.create_task(program.post(PATHS[0], ASK))
    making = await claim_next(services)
    async with following(bob, making.claim.spec.id) as response:
        await bob.delete(f"/api/users/api_key/{key['id']}")
        assert (await asked).status == 401
        (watch,) = app[ORPHANED_COMPLETIONS]._watches
        await asyncio.wait([watch], timeout=0.5)
        assert not watch.done()
        await making.say("all of it")
        await making.finish()
        assert "all of it" in await rest(response)


async def test_pulls_are_followed_by_administrators_only_for_as_long_as_they_are(ada: Client, bob: Client, services: Services) -> None:
    await ada.post(f"/api/users/{bob.user['id']}/role", {"role": "admin"})
    pull = await services.pulls.start(ADMIN, StartPull(name="tiny/llama"))
    claim = await services.claims.claim(pull.id, "by-hand")
    assert claim
    await services.claims.append(claim, 1, (Progress(status="pulling"),))
    path = f"/api/models/pull/{pull.id}/events"
    async with bob.session.get(bob.url + path, headers=bob.headers) as response:
        await ada.post(f"/api/users/{bob.user['id']}/role", {"role": "user"})
        assert "Only administrators may do this." in await rest(response)


async def test_a_redis_that_stumbles_ends_nothing_and_is_heard_again(bob: Client, services: Services, app: web.Application) -> None:
    leaving = await again(bob)
    generation_id, making = await started(bob, services)
    looked = []
    authenticate = services.users.authenticate

    async def counted(token: str) -> Principal:
        looked.append(token)
        return await authenticate(token)

    async with following(leaving, generation_id) as ended, following(bob, generation_id) as kept:
        services.users.authenticate = counted  # type: ignore[method-assign]
        await services.redis.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
        await until(lambda: {leaving.token, bob.token} <= set(looked), "all are looked at after the break")
        assert len(app[HELD_TOKENS]._held) == 2
        await leaving.post("/api/auths/signout", {})
        assert (await rest(ended)).endswith(ENDED)
        await making.finish()
        assert "event: finished" in await rest(kept)
    await until(lambda: not app[HELD_TOKENS]._held, "nothing is held any more")


class TestOften:
    """Where every token is looked at all the time."""

    @pytest.fixture
    def app(self, app: web.Application, monkeypatch: pytest.MonkeyPatch) -> web.Application:
        monkeypatch.setattr(revocation, "CHECK_S", 0.1)
        return app

    async def test_what_nobody_was_told_of_is_found_out(self, bob: Client, services: Services) -> None:
        generation_id, _ = await started(bob, services)
        async with following(bob, generation_id) as response:
            await services.records.delete(users.COLLECTION, {"_id": bob.user["id"]})
            assert "The user of this token is no longer there." in await rest(response)

    async def test_a_store_that_is_away_lets_nobody_out(self, bob: Client, services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
        generation_id, making = await started(bob, services)
        asked = asyncio.Event()

        async def fails(*_: Any) -> tuple[User, Any]:
            asked.set()
            raise away

        away = Unavailable("The store is away.")
        async with following(bob, generation_id) as response:
            with monkeypatch.context() as broken:
                broken.setattr(services.users, "_user", fails)
                await asked.wait()
            await making.finish()
            assert "event: finished" in await rest(response)


async def test_one_who_does_not_read_is_let_go_and_sent_nothing_more(bob: Client, services: Services, app: web.Application) -> None:
    generation_id, making = await started(bob, services)
    host, _, port = bob.url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = f"GET {path_of(generation_id)} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {bob.token}\r\n\r\n"
    writer.write(head.encode())
    for _ in range(40):
        await making.say("x" * 200_000)
    await until(lambda: _stuck(app), "it does not read")
    await bob.post("/api/auths/signout", {})
    await until(lambda: not app[HELD_TOKENS]._held and not app[CONNECTIONS]._waiting, "it is let go")
    await making.say("and something new")
    await making.finish()
    sent = await reader.read(-1)
    assert ENDED.encode() in sent
    assert len(sent) < len(making.text)
    assert b"something new" not in sent
    writer.close()


async def test_one_who_cannot_even_be_told_is_cut_off(bob: Client, services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    generation_id, _ = await started(bob, services)
    write = sse.EventStream.write

    async def hangs_at_last(stream: sse.EventStream, data: bytes) -> None:
        await (asyncio.Event().wait() if data.startswith(b"event: error") else write(stream, data))

    monkeypatch.setattr(sse.EventStream, "write", hangs_at_last)
    monkeypatch.setattr(sse, "LAST_S", 0.05)
    async with following(bob, generation_id) as response:
        await bob.post("/api/auths/signout", {})
        with pytest.raises(aiohttp.ClientPayloadError):
            await rest(response)


async def test_who_is_let_out_when_the_answer_has_just_ended_has_it_whole() -> None:
    ends = []

    @contextmanager
    def keep_end(_: web.Request, end: Callable[[Exception], None]) -> Iterator[None]:
        ends.append(end)
        yield

    async with Connections(keep_end).hold(make_mocked_request("GET", "/")) as connection:
        pass
    ends[0](Unauthenticated("too late"))
    assert connection.reason is None


def _stuck(app: web.Application) -> bool:
    """Whether a client leaves what it is sent unread."""
    (waiting,) = app[CONNECTIONS]._waiting or (None,)
    transport: Any = waiting and waiting._request.transport
    return bool(transport and transport.get_write_buffer_size() > 100_000)
