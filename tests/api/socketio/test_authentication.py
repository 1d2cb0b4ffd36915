"""Who may be connected, for how long, and how much they may do."""

from typing import Any

import aiohttp
import msgspec
import pytest
import socketio
from aiohttp import web

from api.http import revocation
from api.http.keys import SERVICES
from api.socketio import authentication, handlers
from core.models.configs import RateLimits
from core.models.users import Role
from core.security import Tokens
from core.services import Services
from core.storage import chats, users
from tests.api.conftest import Client
from tests.api.manual_jobs import claim_next
from tests.api.socketio_client import connect_socket
from tests.polling import until


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """From before the server starts: every connection is looked at all the time."""
    monkeypatch.setattr(revocation, "CHECK_S", 0.1)


@pytest.mark.usefixtures("often")
async def test_a_quiet_room_is_left_soon_after_the_access_ended(bob: Client, services: Services) -> None:
    chat_id, other_id = await bob.chat(), await bob.chat()
    async with connect_socket(bob) as socket:
        await socket.call("join_chat", {"chat_id": chat_id})
        await socket.call("join_chat", {"chat_id": other_id})
        await services.records.delete(chats.COLLECTION, {"_id": other_id})
        await until(lambda: socket.of("error"), "the room of a chat that is gone is left")
        assert [(data["code"], data["chat_id"]) for data in socket.of("error")] == [("not_found", other_id)]
        await services.records.update(users.COLLECTION, bob.user["id"], {"role": Role.PENDING})
        await until(lambda: not socket.client.connected, "the socket is let out")
        assert socket.of("error")[-1]["code"] == "forbidden"


@pytest.mark.usefixtures("often")
async def test_a_token_that_expires_ends_its_connections(bob: Client, services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    async with connect_socket(bob) as socket:
        monkeypatch.setattr(
            services.users,
            "_tokens",
            Tokens(msgspec.structs.replace(services.settings, secret_key="another secret key that only these tests know")),
        )
        await until(lambda: not socket.client.connected, "the socket is let out")
        assert [data["code"] for data in socket.of("error")] == ["unauthenticated"]


async def test_a_user_who_is_demoted_or_deleted_is_let_out_at_once(ada: Client, bob: Client, eve: Client) -> None:
    async with (
        connect_socket(bob) as first,
        connect_socket(bob) as second,
        connect_socket(eve) as other,
        connect_socket(ada) as administrator,
    ):
        await first.call("join_chat", {"chat_id": await bob.chat()})
        assert (await ada.post(f"/api/users/{bob.user['id']}/role", {"role": "pending"})).status == 200
        await until(lambda: not first.client.connected and not second.client.connected, "both sockets are let out")
        assert (await ada.delete(f"/api/users/{eve.user['id']}")).status == 200
        await until(lambda: not other.client.connected, "the socket is let out")
        assert administrator.client.connected


async def test_a_changed_password_ends_the_other_connections(bob: Client) -> None:
    again = await bob.post("/api/auths/signin", {"email": bob.user["email"], "password": "correct horse battery"})
    elsewhere = Client(bob.url, bob.session, bob.user, again.body["token"])
    async with connect_socket(bob) as kept, connect_socket(elsewhere) as ended:
        body = {"password": "correct horse battery", "new_password": "another horse battery"}
        assert (await bob.post("/api/auths/update/password", body)).status == 200
        await until(lambda: not ended.client.connected, "the socket is let out")
        assert kept.client.connected


async def test_a_cookie_counts_for_our_own_pages_alone(bob: Client) -> None:
    cookie = {"Cookie": f"token={bob.token}"}
    for headers, welcome in (
        ({}, True),
        ({"Origin": bob.url}, True),
        ({"Origin": "https://elsewhere.example"}, False),
        ({"Sec-Fetch-Site": "cross-site"}, False),
    ):
        client = socketio.AsyncClient(reconnection=False)
        try:
            await client.connect(bob.url, headers={**cookie, **headers}, transports=["websocket"], wait_timeout=20)
            assert welcome
        except socketio.exceptions.ConnectionError:
            assert not welcome
        finally:
            await client.disconnect()


async def test_a_header_and_an_api_key_are_taken_too(bob: Client) -> None:
    key = (await bob.post("/api/users/api_key", {"name": "k"})).body["api_key"]
    for token in (bob.token, key):
        client = socketio.AsyncClient(reconnection=False)
        await client.connect(bob.url, headers={"Authorization": f"Bearer {token}"}, transports=["websocket"], wait_timeout=20)
        assert (await client.call("join_chat", {"chat_id": await bob.chat()}))["ok"]
        await client.disconnect()


async def test_emits_count_in_the_budget_of_all_faces(bob: Client, app: web.Application, monkeypatch: pytest.MonkeyPatch) -> None:
    chat_id = await bob.chat()
    rules = RateLimits(requests_per_minute=3, uploads_per_minute=None, admins_limited=False, anonymous_requests_per_minute=None)
    monkeypatch.setattr(app[SERVICES].rate_limiter, "_rules", lambda: rules)
    async with connect_socket(bob) as socket:
        for event in ("join_chat", "leave_chat"):
            assert (await socket.call(event, {"chat_id": chat_id}))["ok"]
        refused = await socket.call("stop", {"chat_id": chat_id})
        assert (refused["ok"], refused["error"]["code"]) == (False, "rate_limit_exceeded")
        assert 0 < refused["error"]["retry_after"] <= 60
    assert (await bob.get("/api/auths/")).status == 429


async def test_a_socket_is_in_so_many_rooms_and_a_user_has_so_many_sockets(bob: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handlers, "MAX_ROOMS_PER_SOCKET", 2)
    monkeypatch.setattr(authentication, "MAX_PER_USER", 1)
    ids = [await bob.chat() for _ in range(3)]
    async with connect_socket(bob) as socket:
        answers = [await socket.call("join_chat", {"chat_id": chat_id}) for chat_id in (*ids, ids[0])]
        assert [answer["ok"] for answer in answers] == [True, True, False, True]
        assert "leave_chat" in answers[2]["error"]["detail"]
        await socket.call("leave_chat", {"chat_id": ids[0]})
        assert (await socket.call("join_chat", {"chat_id": ids[2]}))["ok"]
        told: list[Any] = []
        second = socketio.AsyncClient(reconnection=False)
        second.on("connect_error", told.append)
        with pytest.raises(socketio.exceptions.ConnectionError):
            await second.connect(bob.url, auth={"token": bob.token}, transports=["websocket"], wait_timeout=20)
        await until(lambda: told, "the refusal is told")
        assert told[0]["data"]["code"] == "rate_limit_exceeded"
        await second.disconnect()
    async with connect_socket(bob):
        pass


async def test_what_is_too_large_is_refused_and_the_connection_lives_on(bob: Client, services: Services) -> None:
    chat_id = await bob.chat()
    async with connect_socket(bob) as socket:
        refused = await socket.call("message", {"chat_id": chat_id, "message": {"content": "x" * (handlers.MAX_PAYLOAD_BYTES + 1)}})
        assert refused["error"]["code"] == "bad_request"
        assert str(handlers.MAX_PAYLOAD_BYTES) in refused["error"]["detail"]
        large = "x" * (handlers.MAX_PAYLOAD_BYTES - 1000)
        sent = await socket.call("message", {"chat_id": chat_id, "message": {"content": large}})
        assert sent["ok"]
        await (await claim_next(services)).finish()
        await socket.hears(2)
        assert socket.wholes()[0]["content"] == large


async def test_an_emit_without_an_acknowledgement_is_told_its_failure_by_an_event(bob: Client) -> None:
    async with connect_socket(bob) as socket:
        await socket.client.emit("join_chat", {"chat_id": "no-such-chat"})
        await until(lambda: socket.of("error"), "the failure is told")
        (failure,) = socket.of("error")
        assert (failure["event"], failure["code"], set(failure)) == ("join_chat", "not_found", {"event", "code", "detail"})


async def test_one_answer_is_stopped_by_its_id_and_stopping_again_changes_nothing(bob: Client, eve: Client, services: Services) -> None:
    chat_id = await bob.chat()
    async with connect_socket(bob) as socket, connect_socket(eve) as stranger:
        ids = [(await socket.call("message", {"chat_id": chat_id, "message": {"content": "x"}}))["generation_id"] for _ in range(2)]
        for _ in ids:
            await claim_next(services)
        assert (await stranger.call("stop", {"generation_id": ids[0]}))["error"]["code"] == "not_found"
        for _ in range(2):
            stopped = await socket.call("stop", {"generation_id": ids[0]})
            assert (stopped["ok"], stopped["stopped"]) == (True, ids[:1])
        missing = await socket.call("stop", {})
        assert missing["error"]["code"] == "bad_request"
        assert "generation_id" in missing["error"]["detail"]


ENDS = {aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED}
GARBAGE = (
    "4",
    "42",
    "42{",
    "42[]",
    "42[1]",
    '42["message"',
    "43[]",
    "45-",
    '451-["message",{"_placeholder":true,"num":0}]',
    "49",
    "x",
    "",
    "9",
    "b!",
)


@pytest.mark.parametrize("frame", GARBAGE)
async def test_frames_that_are_no_packets_harm_nobody_else(bob: Client, frame: str) -> None:
    url = f"{bob.url}/socket.io/?EIO=4&transport=websocket"
    async with connect_socket(bob) as socket, bob.session.ws_connect(url) as broken:
        await broken.send_str(f'40{{"token":"{bob.token}"}}')
        while not (await broken.receive_str()).startswith("40"):
            pass
        await broken.send_str(frame)
        await broken.send_str('420["leave_chat",{"chat_id":"x"}]')
        answer = await broken.receive(timeout=5)
        assert answer.type in ENDS or str(answer.data).startswith(("42", "430")), answer
        assert (await socket.call("leave_chat", {"chat_id": "x"}))["ok"]


async def test_an_event_that_is_none_is_answered_with_those_that_are(bob: Client) -> None:
    async with connect_socket(bob) as socket:
        answer = await socket.call("join-chat", {"chat_id": "x"})
        assert (answer["ok"], answer["error"]["code"]) == (False, "not_found")
        assert "join_chat" in answer["error"]["detail"]
