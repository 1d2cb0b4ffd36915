"""The websocket's own rules: one protocol, whose cookies count, and what ends it."""

import asyncio

import aiohttp
import msgspec
import pytest
from aiohttp import web

from api.graphql import view
from api.graphql.view import close_sockets
from core.models.jobs import JobStatus
from core.models.users import Session, SignIn, SignUp
from core.services import Services
from core.settings import Settings
from tests.polling import until
from tests.schema.graphql_documents import FOLLOW, ME
from tests.schema.test_subscription import ANSWER, asked, claimed, nobody_listens
from tests.schema.transports import Answer, Post, bearer

PROTOCOL = "graphql-transport-ws"


async def opened(session: aiohttp.ClientSession, url: str, protocol: str = PROTOCOL, **headers: str) -> aiohttp.ClientWebSocketResponse:
    """A websocket on which nothing was said yet."""
    return await session.ws_connect(f"{url}/graphql", protocols=(protocol,), headers=headers)


async def greeted(socket: aiohttp.ClientWebSocketResponse, **params: str) -> None:
    """Say who one is."""
    await socket.send_json({"type": "connection_init", "payload": params})
    assert (await socket.receive_json())["type"] == "connection_ack"


async def me(socket: aiohttp.ClientWebSocketResponse) -> Answer:
    """Ask who one is."""
    await socket.send_json({"id": "1", "type": "subscribe", "payload": {"query": ME}})
    answer: Answer = (await socket.receive_json())["payload"]
    assert await socket.receive_json() == {"id": "1", "type": "complete"}
    return answer


async def closed(socket: aiohttp.ClientWebSocketResponse) -> int | None:
    """The code that the server closes with."""
    while not socket.closed:
        await socket.receive()
    return socket.close_code


async def test_the_legacy_protocol_is_refused(url: str) -> None:
    async with aiohttp.ClientSession() as session, await opened(session, url, "graphql-ws") as socket:
        assert await closed(socket) == 4406


async def test_a_token_comes_as_header_or_by_name_in_the_first_message(url: str, ada: Session) -> None:
    async with aiohttp.ClientSession() as session:
        for params in (bearer(ada.token), {"authorization": f"bearer {ada.token}"}, {"token": ada.token}):
            async with await opened(session, url) as socket:
                await greeted(socket, **params)
                assert (await me(socket))["data"]["me"]["id"] == ada.user.id


async def test_a_token_that_is_not_valid_closes_it(url: str) -> None:
    async with aiohttp.ClientSession() as session, await opened(session, url) as socket:
        await socket.send_json({"type": "connection_init", "payload": {"token": "stale"}})
        assert await closed(socket) == 4403


async def test_nothing_runs_before_the_first_message(url: str, ada: Session) -> None:
    async with aiohttp.ClientSession() as session, await opened(session, url, **bearer(ada.token)) as socket:
        await socket.send_json({"id": "1", "type": "subscribe", "payload": {"query": ME}})
        assert await closed(socket) == 4401


@pytest.mark.parametrize(
    "message",
    [
        *("{", "[]", "1", "{}", b"binary", '{"type": 1}'),
        *('{"type": "subscribe", "id": [], "payload": {"query": ""}}', '{"type": "subscribe", "id": "1", "payload": "x"}'),
        '{"type": "subscribe", "id": "1", "payload": {"query": 1}}',
        '{"type": "subscribe", "id": "1", "payload": {"query": "{ me { id } }", "variables": 1}}',
        '{"type": "subscribe", "id": "1", "payload": {"query": "{ me { id } }", "operationName": 1}}',
    ],
)
async def test_a_message_that_is_none_closes_it(url: str, message: str | bytes) -> None:
    async with aiohttp.ClientSession() as session, await opened(session, url) as socket:
        await greeted(socket)
        await (socket.send_bytes(message) if isinstance(message, bytes) else socket.send_str(message))
        assert await closed(socket) == 4400


@pytest.mark.parametrize("payload", [{"query": "{ me {"}, {"query": ""}, {"query": "# nothing"}, {"query": ME, "operationName": "Nobody"}])
async def test_a_document_that_cannot_be_run_is_told_and_the_socket_lives(url: str, ada: Session, payload: Answer) -> None:
    async with aiohttp.ClientSession() as session, await opened(session, url) as socket:
        await greeted(socket, token=ada.token)
        await socket.send_json({"id": "1", "type": "subscribe", "payload": payload})
        answer = await socket.receive_json()
        assert (answer["type"], answer["payload"][0]["extensions"]["code"]) == ("error", "bad_request")
        assert (await me(socket))["data"]["me"]["id"] == ada.user.id


async def test_a_cookie_counts_for_our_own_pages_only(url: str, ada: Session) -> None:
    ours, theirs = url, "https://elsewhere.example"
    async with aiohttp.ClientSession(cookies={"token": ada.token}) as session:
        async with await opened(session, url, Origin=ours) as socket:
            await greeted(socket)
            assert (await me(socket))["data"]["me"]["id"] == ada.user.id
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await opened(session, url, Origin=theirs)
        assert refused.value.status == 403


class TestAnyOrigin:
    """Where the operator lets pages from everywhere in."""

    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return msgspec.structs.replace(settings, cors_origins=("*",))

    async def test_they_come_with_a_token_of_their_own_and_not_with_the_cookie(self, url: str, ada: Session) -> None:
        theirs = "https://elsewhere.example"
        async with aiohttp.ClientSession(cookies={"token": ada.token}) as session:
            async with await opened(session, url, Origin=theirs) as socket:
                await greeted(socket)
                assert (await me(socket))["errors"][0]["extensions"]["code"] == "unauthenticated"
            async with await opened(session, url, Origin=theirs) as socket:
                await greeted(socket, **bearer(ada.token))
                assert (await me(socket))["data"]["me"]["id"] == ada.user.id


async def test_a_second_operation_sees_what_changed_since_the_first(url: str, services: Services, ada: Session) -> None:
    history = "{ chats { nodes { messages { nodes { content } } } } }"
    principal = await services.users.authenticate(ada.token)
    chat = (await services.chats.create(principal, {"title": "x", "messages": [{"role": "user", "content": "one"}]})).chat
    async with aiohttp.ClientSession() as session, await opened(session, url) as socket:
        await greeted(socket, token=ada.token)
        for document, contents in (({}, ["one"]), ({"messages": [{"role": "user", "content": "two"}]}, ["two"])):
            if document:
                await services.chats.update(principal, chat.id, document)
            await socket.send_json({"id": "1", "type": "subscribe", "payload": {"query": history}})
            (found,) = (await socket.receive_json())["payload"]["data"]["chats"]["nodes"]
            assert [message["content"] for message in found["messages"]["nodes"]] == contents
            await socket.receive_json()


async def test_strangers_may_sign_up_over_it(url: str, services: Services) -> None:
    async with aiohttp.ClientSession() as session, await opened(session, url) as socket:
        await greeted(socket)
        await socket.send_json(
            {
                "id": "1",
                "type": "subscribe",
                "payload": {"query": 'mutation { signUp(name: "A", email: "a@b.example", password: "long enough") { token } }'},
            }
        )
        token = (await socket.receive_json())["payload"]["data"]["signUp"]["token"]
        assert (await services.users.authenticate(token)).user.email == "a@b.example"


async def test_a_server_that_goes_away_says_so(app: web.Application, url: str, services: Services) -> None:
    session_ = await services.users.sign_up(SignUp(name="A", email="a@b.example", password="long enough"))
    async with aiohttp.ClientSession() as session, await opened(session, url) as socket:
        await greeted(socket, token=session_.token)
        _, code = await asyncio.gather(close_sockets(app), closed(socket))
        assert code == 1001


async def followed(socket: aiohttp.ClientWebSocketResponse, generation_id: str) -> None:
    """Listen to an answer, and hear that it has begun."""
    await socket.send_json({"id": "2", "type": "subscribe", "payload": {"query": FOLLOW, "variables": {"id": generation_id}}})
    assert (await socket.receive_json())["payload"]["data"]["generation"]["__typename"] == "GenerationStarted"


async def test_a_session_that_ends_closes_its_websockets_and_no_others(url: str, services: Services, ada: Session) -> None:
    ending = await services.users.sign_in(SignIn(email=ada.user.email, password="correct horse"))
    generation_id = await asked(Post(url), ada)
    claim = await claimed(services, generation_id)
    await services.claims.append(claim, 1, ANSWER[:1])
    async with aiohttp.ClientSession() as session, await opened(session, url) as ended, await opened(session, url) as kept:
        await greeted(ended, token=ending.token)
        await greeted(kept, token=ada.token)
        for socket in (ended, kept):
            await followed(socket, generation_id)
        await services.users.sign_out(await services.users.authenticate(ending.token))
        message = await ended.receive()
        assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, 4403)
        assert "Sign in again" in str(message.extra)
        await services.claims.append(claim, 2, ANSWER[1:], end=JobStatus.FINISHED)
        heard = [await kept.receive_json() for _ in ANSWER]
        assert (heard[0]["payload"]["data"]["generation"]["text"], heard[-1]) == ("To the ", {"id": "2", "type": "complete"})
    await until(lambda: nobody_listens(services, generation_id), "nothing of them is left behind")


async def test_who_waits_for_activation_keeps_a_websocket_until_they_were_active(
    url: str, services: Services, ada: Session, bob: Session
) -> None:
    admin = await services.users.authenticate(ada.token)
    await services.accounts.set_role(admin, bob.user.id, "pending")
    other = await services.users.sign_in(SignIn(email=bob.user.email, password="battery staple"))
    async with aiohttp.ClientSession() as session, await opened(session, url) as socket, await opened(session, url) as ended:
        await greeted(socket, token=bob.token)
        await greeted(ended, token=other.token)
        for role in ("pending", "user"):
            await services.accounts.set_role(admin, bob.user.id, role)
            assert (await me(socket))["data"]["me"]["role"] == role.upper()
        await services.users.sign_out(await services.users.authenticate(other.token))
        assert await closed(ended) == 4403  # so what was told before has been looked at
        await services.accounts.set_role(admin, bob.user.id, "pending")
        assert await closed(socket) == 4403


async def test_one_who_does_not_answer_the_close_is_cut_off(
    url: str, services: Services, ada: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hangs(*_: object, **__: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(view, "CLOSE_S", 0.05)
    async with aiohttp.ClientSession() as session, await opened(session, url) as socket:
        await greeted(socket, token=ada.token)
        monkeypatch.setattr(web.WebSocketResponse, "close", hangs)
        await services.users.sign_out(await services.users.authenticate(ada.token))
        assert await closed(socket) == 1006
        monkeypatch.undo()


async def test_an_answer_that_comes_while_its_websocket_is_closed_is_no_bug(
    url: str, services: Services, ada: Session, caplog: pytest.LogCaptureFixture
) -> None:
    ending = await services.users.sign_in(SignIn(email=ada.user.email, password="correct horse"))
    generation_id = await asked(Post(url), ada)
    claim = await claimed(services, generation_id)
    await services.claims.append(claim, 1, ANSWER[:1])
    async with aiohttp.ClientSession() as session, await opened(session, url) as socket:
        await greeted(socket, token=ending.token)
        await followed(socket, generation_id)

        async def write() -> None:
            for seq in range(2, 10_000):
                await services.claims.append(claim, seq, ANSWER[1:2])

        writing = asyncio.create_task(write())
        await services.users.sign_out(await services.users.authenticate(ending.token))
        assert await closed(socket) == 4403
        await until(lambda: nobody_listens(services, generation_id), "it is not followed any more")
        writing.cancel()
    assert [record for record in caplog.records if record.name.startswith("strawberry")] == []
