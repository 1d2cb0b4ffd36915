"""Long chats that are kept ready: what is sent is what is stored, whoever changed it; only to whom it belongs; within bounds."""

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import msgspec
import pytest

from api.rest.chats.response_cache import WORTH_BYTES, ResponseCache
from api.rest.chats.schemas import ChatResponse
from core.errors import NotFound
from core.models.chats import Chat, ChatDetail, Message
from core.models.users import Principal
from core.services import Services
from core.services.chats.chats import Chats
from core.storage.messages import Messages
from tests.api.conftest import Client
from tests.core.services.people import principal

LONG = 700

Change = Callable[[Chats, Principal, str], Awaitable[Any]]


def document(length: int = LONG) -> dict[str, Any]:
    return {"title": "Long", "messages": [{"id": f"m{n}", "role": "user", "content": "word " * 30, "timestamp": n} for n in range(length)]}


def said(message_id: str) -> Message:
    return Message(id=message_id, chat_id="", position=0, role="assistant", content="", timestamp=1)


CHANGES: dict[str, Change] = {
    "another title": lambda chats, me, chat_id: chats.update(me, chat_id, {"title": "Renamed"}),
    "other messages": lambda chats, me, chat_id: chats.update(me, chat_id, document(LONG - 1)),
    "a message more": lambda chats, me, chat_id: chats.append(me, chat_id, [said("late")]),
    "an answer's text": lambda chats, _, chat_id: chats.fill(chat_id, "m3", "It is.", {"done": True}),
    "an edited message": lambda chats, me, chat_id: chats.edit(me, chat_id, "m3", "Where?"),
    "a message less": lambda chats, me, chat_id: chats.remove(me, chat_id, "m3"),
    "a mark": lambda chats, me, chat_id: chats.mark(me, chat_id, "pinned"),
}


@pytest.fixture
def me() -> Principal:
    return principal()


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ids of the chats whose messages were read."""
    whole, read = Chats.whole, list[str]()

    async def noted(chats: Chats, chat: Chat) -> ChatDetail:
        read.append(chat.id)
        return await whole(chats, chat)

    monkeypatch.setattr(Chats, "whole", noted)
    return read


async def stored(chats: Chats, me: Principal, chat_id: str) -> Any:
    return msgspec.to_builtins(ChatResponse.whole(await chats.get(me, chat_id)))


@pytest.mark.parametrize("change", CHANGES.values(), ids=list(CHANGES))
async def test_after_a_change_everybody_is_sent_the_chat_as_it_is_now(services: Services, me: Principal, change: Change) -> None:
    chats = services.chats
    chat_id = (await chats.create(me, document())).chat.id
    processes = ResponseCache(chats), ResponseCache(chats)
    before = [await ready.get(me, chat_id) for ready in processes for _ in range(2)]
    assert len(before[0]) > WORTH_BYTES
    assert len(set(before)) == 1
    await change(chats, me, chat_id)
    for ready in processes:
        sent = await ready.get(me, chat_id)
        assert sent != before[0]
        assert msgspec.json.decode(sent) == await stored(chats, me, chat_id)


async def test_who_reads_while_messages_are_being_taken_out_does_not_go_on_showing_them(
    services: Services, me: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready, remove = ResponseCache(services.chats), Messages.remove
    chat_id = (await services.chats.create(me, document())).chat.id
    between: list[bytes] = []

    async def watched(rows: Messages, chat_id: str, message_ids: Iterable[str]) -> None:
        between.append(await ready.get(me, chat_id))
        await remove(rows, chat_id, message_ids)

    monkeypatch.setattr(Messages, "remove", watched)
    await services.chats.remove(me, chat_id, "m3")
    assert len(msgspec.json.decode(between[0])["chat"]["messages"]) == LONG
    assert msgspec.json.decode(await ready.get(me, chat_id)) == await stored(services.chats, me, chat_id)


async def test_the_messages_of_a_long_chat_are_read_once_and_those_of_a_short_one_each_time(
    services: Services, me: Principal, reads: list[str]
) -> None:
    ready = ResponseCache(services.chats)
    long, short = [(await services.chats.create(me, document(length))).chat.id for length in (LONG, 3)]
    for _ in range(3):
        assert msgspec.json.decode(await ready.get(me, long))["chat"] == document()
        assert msgspec.json.decode(await ready.get(me, short))["chat"] == document(3)
    assert (reads.count(long), reads.count(short)) == (1, 3)


async def test_what_is_kept_is_bounded_and_the_one_asked_for_longest_ago_gives_way(
    services: Services, me: Principal, reads: list[str]
) -> None:
    first, second, third = [(await services.chats.create(me, document())).chat.id for _ in range(3)]
    size = len(await ResponseCache(services.chats).get(me, first))
    ready = ResponseCache(services.chats, room=int(2.5 * size))
    reads.clear()
    for chat_id in (first, second, first, third, first, second):
        await ready.get(me, chat_id)
    assert reads == [first, second, third, second]


async def test_one_that_is_larger_than_all_the_room_is_sent_and_not_kept(services: Services, me: Principal, reads: list[str]) -> None:
    ready = ResponseCache(services.chats, room=WORTH_BYTES)
    chat_id = (await services.chats.create(me, document())).chat.id
    assert await ready.get(me, chat_id) == await ready.get(me, chat_id)
    assert len(reads) == 2


async def test_strangers_are_sent_nothing_of_what_is_kept_and_nobody_what_is_deleted(services: Services, me: Principal) -> None:
    ready = ResponseCache(services.chats)
    chat_id = (await services.chats.create(me, document())).chat.id
    await ready.get(me, chat_id)
    with pytest.raises(NotFound):
        await ready.get(principal(), chat_id)
    await services.chats.delete(me, chat_id)
    with pytest.raises(NotFound):
        await ready.get(me, chat_id)


async def test_a_client_that_was_sent_a_kept_chat_may_leave_out_its_messages_but_none_that_came_later(bob: Client) -> None:
    chat_id = (await bob.post("/api/chats/new", {"chat": document()})).body["id"]
    signed_in = await bob.post("/api/auths/signin", {"email": bob.user["email"], "password": "correct horse battery"})
    tab = Client(bob.url, bob.session, bob.user, signed_in.body["token"])
    for client in (bob, tab):
        assert (await client.get(f"/api/chats/{chat_id}")).body["chat"] == document()
    await bob.post(f"/api/chats/{chat_id}", {"chat": {"messages": [*document()["messages"], document(LONG + 1)["messages"][-1]]}})
    left = (await tab.post(f"/api/chats/{chat_id}", {"chat": document(2)})).body["chat"]["messages"]
    assert [message["id"] for message in left] == ["m0", "m1", f"m{LONG}"]
