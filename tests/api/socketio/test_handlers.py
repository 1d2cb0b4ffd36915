import asyncio
from typing import Any

import pytest
import socketio
from aiohttp import web

from api.http.keys import SOCKETS
from api.socketio import handlers
from core.models.users import Role
from core.redis.presence import PROCESSES
from core.services import Services
from core.services.chats.chats import Chats
from core.storage import users
from tests.api.conftest import Client
from tests.api.manual_jobs import claim_next
from tests.api.socketio_client import connect_socket
from tests.polling import until


@pytest.fixture
def chats_open_to_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several users in one room, which no chat allows yet."""

    async def anybody(chats: Chats, _principal: Any, chat_id: str) -> Any:
        return await chats._chats.get(chat_id)

    monkeypatch.setattr(Chats, "readable", anybody)


@pytest.mark.parametrize("path", ["socket.io", "ws/socket.io"])
@pytest.mark.parametrize("transports", [("websocket",), ("polling",), ("polling", "websocket")])
async def test_a_message_and_its_answer_are_heard_once_by_everybody_in_the_room(
    bob: Client, services: Services, path: str, transports: tuple[str, ...]
) -> None:
    chat_id = await bob.chat()
    async with connect_socket(bob, path=path, transports=transports) as one, connect_socket(bob) as other:
        assert await one.call("join_chat", {"chat_id": chat_id}) == {"ok": True, "chat_id": chat_id, "presence": [bob.user["id"]]}
        await other.call("join_chat", {"chat_id": chat_id})
        sent = await one.call("message", {"chat_id": chat_id, "message": {"role": "user", "content": "Hello!"}})
        making = await claim_next(services)
        await making.say("Hi", " ", "there")
        await making.finish()
        for socket in (one, other):
            await socket.hears(2)
            asked, answered = socket.wholes()
            assert (asked["id"], asked["role"], asked["content"]) == (sent["message_id"], "user", "Hello!")
            assert (answered["id"], answered["role"], answered["content"], answered["done"]) == (
                sent["answer_id"],
                "assistant",
                "Hi there",
                True,
            )
            assert answered["usage"]["total_tokens"] == 7
            assert socket.pieces() == "Hi there"
            assert [data["event_id"] for data in socket.of("message") if "event_id" in data] == ["1-2", "1-3", "1-4", "1-6"]
    stored = (await bob.get(f"/api/chats/{chat_id}")).body["chat"]["messages"]
    assert [message["content"] for message in stored] == ["Hello!", "Hi there"]


async def test_a_sender_who_has_not_joined_hears_the_answer_too(bob: Client, services: Services) -> None:
    chat_id = await bob.chat()
    async with connect_socket(bob) as socket:
        await socket.call("message", {"chat_id": chat_id, "message": {"role": "user", "content": "x"}})
        making = await claim_next(services)
        await making.finish()
        await socket.hears(2)


async def test_an_answer_asked_over_rest_is_heard_in_the_room(bob: Client, services: Services) -> None:
    chat_id = await bob.chat()
    async with connect_socket(bob) as socket:
        await socket.call("join_chat", {"chat_id": chat_id})
        await bob.post(f"/api/chats/{chat_id}/messages", {"content": "over REST"})
        making = await claim_next(services)
        await making.say("heard")
        await making.finish()
        await socket.hears(2)
        assert [message["content"] for message in socket.wholes()] == ["over REST", "heard"]


async def test_one_who_joins_in_the_middle_hears_the_answer_from_its_start(bob: Client, services: Services) -> None:
    chat_id = await bob.chat()
    await bob.post(f"/api/chats/{chat_id}/messages", {"content": "x"})
    making = await claim_next(services)
    await making.say("one ", "two ")
    async with connect_socket(bob) as early:
        await early.call("join_chat", {"chat_id": chat_id})
        await until(lambda: early.pieces() == "one two ", "what is there is heard")
        await making.say("three ")
        async with connect_socket(bob) as late:
            await late.call("join_chat", {"chat_id": chat_id})
            await making.say("four")
            await making.finish()
            for socket in (early, late):
                await socket.hears(1)
                assert socket.pieces() == socket.wholes()[0]["content"] == "one two three four"


async def test_one_who_comes_back_goes_on_after_the_last_event_it_saw(bob: Client, services: Services) -> None:
    chat_id = await bob.chat()
    async with connect_socket(bob) as first:
        sent = await first.call("message", {"chat_id": chat_id, "message": {"content": "x"}})
        making = await claim_next(services)
        await making.say("one ", "two ")
        await until(lambda: first.pieces() == "one two ", "the first pieces are heard")
        last = first.of("message")[-1]["event_id"]
    await making.say("three")
    await making.finish()
    async with connect_socket(bob) as again:
        await again.call("join_chat", {"chat_id": chat_id, "after": {sent["generation_id"]: last}})
        await again.hears(1)
        assert (again.pieces(), again.wholes()[0]["content"]) == ("three", "one two three")


async def test_a_failed_and_a_stopped_answer_say_so(bob: Client, services: Services) -> None:
    chat_id = await bob.chat()
    async with connect_socket(bob) as socket:
        await socket.call("message", {"chat_id": chat_id, "message": {"content": "x"}})
        making = await claim_next(services)
        await making.say("half")
        await making.fail("upstream_broken", "It broke off.")
        await socket.hears(2)
        assert socket.wholes()[1]["error"] == {"content": "It broke off.", "code": "upstream_broken"}
        sent = await socket.call("message", {"chat_id": chat_id, "message": {"content": "y"}})
        assert (await socket.call("stop", {"chat_id": chat_id}))["stopped"] == [sent["generation_id"]]
        await socket.hears(4)
        assert socket.wholes()[3]["stopped"] is True


@pytest.mark.parametrize("auth", [None, {}, {"token": "nonsense"}, {"token": 7}, "nonsense"])
async def test_a_handshake_without_a_good_token_is_refused_with_a_clear_message(bob: Client, auth: Any) -> None:
    client = socketio.AsyncClient(reconnection=False)
    refusals: list[Any] = []
    client.on("connect_error", refusals.append)
    with pytest.raises(socketio.exceptions.ConnectionError):
        await client.connect(bob.url, auth=auth, transports=["websocket"], wait_timeout=20)
    await until(lambda: refusals, "the refusal is told")
    assert refusals[0]["data"]["code"] == "unauthenticated"
    assert refusals[0]["message"] == refusals[0]["data"]["detail"]
    await client.disconnect()


async def test_a_pending_user_is_refused(bob: Client, services: Services) -> None:
    await services.records.update(users.COLLECTION, bob.user["id"], {"role": Role.PENDING})
    with pytest.raises(socketio.exceptions.ConnectionError):
        async with connect_socket(bob):
            pass


async def test_a_stranger_hears_nothing_and_can_do_nothing(bob: Client, eve: Client, ada: Client, services: Services) -> None:
    chat_id = await bob.chat()
    for stranger in (eve, ada):
        async with connect_socket(stranger) as socket:
            for event, data in (
                ("join_chat", {"chat_id": chat_id}),
                ("message", {"chat_id": chat_id, "message": {"content": "hi"}}),
                ("stop", {"chat_id": chat_id}),
            ):
                absent = await socket.call(event, {**data, "chat_id": "no-such-chat"})
                assert absent["error"]["code"] == "not_found"
                assert await socket.call(event, data) == absent
            async with connect_socket(bob) as own:
                await own.call("message", {"chat_id": chat_id, "message": {"content": "secret"}})
                await (await claim_next(services)).finish()
                await own.hears(2)
            assert {name for name, _ in socket.heard} == {"error"}


@pytest.mark.parametrize(
    ("event", "data"),
    [
        ("join_chat", None),
        ("join_chat", "x"),
        ("join_chat", {"chat_id": 7}),
        ("join_chat", {"chat_id": "c", "after": {"g": "x"}}),
        ("message", {"chat_id": "c"}),
        ("message", {"chat_id": "c", "message": {"role": "assistant", "content": 7}}),
        ("stop", []),
    ],
)
async def test_what_cannot_be_understood_is_answered_with_an_error(bob: Client, event: str, data: Any) -> None:
    async with connect_socket(bob) as socket:
        answer = await socket.call(event, data)
        assert answer["error"]["code"] in {"bad_request", "not_found"}
        await until(lambda: socket.of("error"), "the error is told as an event too")
        assert socket.of("error")[0] == {**answer["error"], "event": event}


async def test_the_others_hear_who_comes_and_goes_once_per_user_not_per_tab(bob: Client) -> None:
    chat_id = await bob.chat()
    async with connect_socket(bob) as one:
        await one.call("join_chat", {"chat_id": chat_id})
        async with connect_socket(bob) as other:
            await other.call("join_chat", {"chat_id": chat_id})
            await other.call("join_chat", {"chat_id": chat_id})
            assert (one.of("user_join"), other.of("user_join")) == ([], [])
        await one.call("join_chat", {"chat_id": chat_id})
        assert one.of("user_leave") == []


@pytest.mark.usefixtures("chats_open_to_all")
async def test_users_who_share_a_room_hear_of_each_other(bob: Client, eve: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    chat_id = await bob.chat()
    monkeypatch.setattr(handlers, "GRACE_S", 0.05)
    both = sorted((bob.user["id"], eve.user["id"]))
    async with connect_socket(bob) as one:
        await one.call("join_chat", {"chat_id": chat_id})
        async with connect_socket(eve) as other, connect_socket(eve) as second_tab, connect_socket(eve) as third_tab:
            for tab in (other, second_tab, third_tab):
                assert (await tab.call("join_chat", {"chat_id": chat_id}))["presence"] == both
            await until(lambda: one.of("user_join"), "the arrival is heard")
            await other.call("leave_chat", {"chat_id": chat_id})
            await second_tab.client.disconnect()
            assert (await one.call("join_chat", {"chat_id": chat_id}))["presence"] == both
        await until(lambda: one.of("user_leave"), "the departure is heard")
        about = {"chat_id": chat_id, "user_id": eve.user["id"]}
        assert (one.of("user_join"), one.of("user_leave")) == ([about], [about])
        assert (await one.call("join_chat", {"chat_id": chat_id}))["presence"] == [bob.user["id"]]
        assert other.of("user_join") == other.of("user_leave") == []


@pytest.mark.usefixtures("chats_open_to_all")
async def test_a_tab_that_comes_back_soon_was_never_away_for_the_others(bob: Client, eve: Client) -> None:
    chat_id = await bob.chat()
    async with connect_socket(bob) as one:
        await one.call("join_chat", {"chat_id": chat_id})
        for _ in range(3):
            async with connect_socket(eve) as tab:
                await tab.call("join_chat", {"chat_id": chat_id})
        async with connect_socket(eve) as tab:
            await tab.call("join_chat", {"chat_id": chat_id})
            await tab.call("leave_chat", {"chat_id": chat_id})
            await until(lambda: one.of("user_leave"), "a departure on purpose is heard at once", timeout_s=20)
        about = {"chat_id": chat_id, "user_id": eve.user["id"]}
        assert (one.of("user_join"), one.of("user_leave")) == ([about], [about])


@pytest.mark.usefixtures("chats_open_to_all")
async def test_who_was_on_a_process_that_dies_has_left_for_those_on_another_one_and_is_back_where_it_was_only_late(
    bob: Client, eve: Client, services: Services, elsewhere: str, other_app: web.Application
) -> None:
    chat_id = await bob.chat()
    about = {"chat_id": chat_id, "user_id": eve.user["id"]}
    late = other_app[SOCKETS]._rooms
    async with connect_socket(bob) as one, connect_socket(bob) as second, connect_socket(eve, url=elsewhere) as other:
        for socket in (one, second, other):
            await socket.call("join_chat", {"chat_id": chat_id})
        await until(lambda: one.of("user_join") and second.of("user_join"), "the arrival is heard")
        assert late._renewing
        late._renewing.cancel()
        await services.redis.zadd(PROCESSES, {late._presence._process: 1})
        await until(lambda: one.of("user_leave") and second.of("user_leave"), "the departure is heard")
        await late.open()
        await until(lambda: len(one.of("user_join")) == len(second.of("user_join")) == 2, "the return is heard")
        for socket in (one, second):
            assert (socket.of("user_join"), socket.of("user_leave")) == ([about, about], [about])


async def test_a_user_deleted_meanwhile_hears_no_more(bob: Client, services: Services) -> None:
    chat_id = await bob.chat()
    async with connect_socket(bob) as socket:
        await socket.call("join_chat", {"chat_id": chat_id})
        await services.records.delete(users.COLLECTION, {"_id": bob.user["id"]})
        await services.events.notify(f"chat:{chat_id}", b'{"type":"message","message":{"id":"m","role":"user","content":"x"}}')
        await until(lambda: not socket.client.connected, "the socket is let out")
        assert [data["code"] for data in socket.of("error")] == ["unauthenticated"]
        assert socket.of("message") == []


async def test_after_a_gap_what_was_missed_is_told(bob: Client, services: Services) -> None:
    chat_id = await bob.chat()
    async with connect_socket(bob) as socket:
        await socket.call("join_chat", {"chat_id": chat_id})
        real, services.events.notify = services.events.notify, lambda *_: asyncio.sleep(0, 0)  # type: ignore[method-assign]
        await bob.post(f"/api/chats/{chat_id}/messages", {"content": "unheard"})
        services.events.notify = real  # type: ignore[method-assign]
        making = await claim_next(services)
        await making.say("answer")
        await making.finish()
        await services.redis.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
        await socket.hears(2)
        assert [message["content"] for message in socket.wholes()] == ["unheard", "answer"]
        assert socket.pieces() == "answer"
