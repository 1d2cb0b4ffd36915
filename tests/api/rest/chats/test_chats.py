from typing import Any

import pytest

from tests.api.conftest import Client

POSTED = {
    "title": "My Chat",
    "models": ["gpt-4"],
    "messages": [
        {"id": "msg_1", "role": "user", "content": "Hello!", "timestamp": 1699564800},
        {"id": "msg_2", "role": "assistant", "content": "Hi! How can I help?", "timestamp": 1699564801},
    ],
}


async def test_a_created_chat_comes_back_whole(bob: Client) -> None:
    created = await bob.post("/api/chats/new", {"chat": POSTED})
    assert created.status == 201
    assert created.body["user_id"] == bob.user["id"]
    assert (created.body["title"], created.body["chat"]) == ("My Chat", POSTED)
    found = await bob.get(f"/api/chats/{created.body['id']}")
    assert (found.status, found.body) == (200, created.body)


async def test_the_list_shows_ones_own_newest_change_first(bob: Client, eve: Client, ada: Client) -> None:
    assert (await bob.get("/api/chats/")).body == []
    first, second = await bob.chat("first"), await bob.chat("second")
    await eve.chat("hers")
    rows = (await bob.get("/api/chats/")).body
    assert {row["id"] for row in rows} == {first, second}
    assert set(rows[0]) >= {"id", "user_id", "title", "created_at", "updated_at", "pinned", "archived"}
    assert "chat" not in rows[0]
    assert (await ada.get("/api/chats")).body == []


async def test_the_list_comes_in_pages_where_asked(bob: Client) -> None:
    made = {await bob.chat(str(number)) for number in range(5)}
    pages: list[str] = []
    after = ""
    while page := (await bob.get(f"/api/chats/?limit=2{after}")).body:
        pages += [row["id"] for row in page]
        after = f"&after={page[-1]['id']}"
    assert len(pages) == 5
    assert set(pages) == made
    for limit in ("0", "x", "-1", "1.5", "99999"):
        assert (await bob.get(f"/api/chats/?limit={limit}")).status == 400


async def test_an_update_keeps_the_messages_that_it_does_not_send(bob: Client) -> None:
    chat_id = (await bob.post("/api/chats/new", {"chat": POSTED})).body["id"]
    updated = await bob.post(f"/api/chats/{chat_id}", {"chat": {"title": "Updated Title"}})
    assert updated.status == 200
    assert updated.body["chat"] == POSTED | {"title": "Updated Title"}
    emptied = await bob.post(f"/api/chats/{chat_id}", {"chat": {"messages": []}})
    assert emptied.body["chat"]["messages"] == []


async def test_a_deleted_chat_is_gone(bob: Client) -> None:
    chat_id = await bob.chat()
    deleted = await bob.delete(f"/api/chats/{chat_id}")
    assert (deleted.status, deleted.body) == (200, True)
    assert (await bob.get(f"/api/chats/{chat_id}")).status == 404
    assert (await bob.delete(f"/api/chats/{chat_id}")).status == 404


async def test_a_stranger_even_an_administrator_finds_no_chat_that_is_not_theirs(bob: Client, eve: Client, ada: Client) -> None:
    chat_id = await bob.chat()
    for stranger in (eve, ada):
        there = [
            await stranger.get(f"/api/chats/{chat_id}"),
            await stranger.post(f"/api/chats/{chat_id}", {"chat": {"title": "mine now"}}),
            await stranger.delete(f"/api/chats/{chat_id}"),
            await stranger.post(f"/api/chats/{chat_id}/messages", {"content": "hi"}),
        ]
        absent = await stranger.get("/api/chats/no-such-chat")
        assert [(reply.status, reply.body) for reply in there] == [(404, absent.body)] * 4
    assert (await bob.get(f"/api/chats/{chat_id}")).body["title"] == "A chat"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "chat"),
        ({"chat": []}, "chat"),
        ({"chat": {"messages": 7}}, "chat.messages"),
        ({"chat": {"messages": [{"role": 5}]}}, "chat.messages[0].role"),
    ],
)
async def test_a_document_that_cannot_be_used_is_refused_naming_the_field(bob: Client, body: Any, field: str) -> None:
    reply = await bob.post("/api/chats/new", body)
    assert reply.status == 400
    assert field in reply.body["detail"]


async def test_a_document_of_many_megabytes_is_taken_and_given_back(bob: Client) -> None:
    messages = [{"id": str(number), "role": "user", "content": "x" * 1000, "timestamp": 1} for number in range(3000)]
    created = await bob.post("/api/chats/new", {"chat": {"title": "long", "messages": messages}})
    assert created.status == 201
    assert (await bob.get(f"/api/chats/{created.body['id']}")).body["chat"]["messages"] == messages


async def test_a_message_sent_over_rest_is_stored_with_an_empty_answer(bob: Client) -> None:
    chat_id = await bob.chat()
    sent = await bob.post(f"/api/chats/{chat_id}/messages", {"content": "What is it?"})
    assert sent.status == 201
    assert sent.headers["X-Generation-Id"] == sent.body["generation_id"]
    stored = (await bob.get(f"/api/chats/{chat_id}")).body["chat"]["messages"]
    assert stored == [sent.body["message"], sent.body["answer"]]
    assert [(message["role"], message["content"]) for message in stored] == [("user", "What is it?"), ("assistant", "")]
    assert (stored[1]["done"], stored[1]["generation_id"]) == (False, sent.body["generation_id"])


async def test_a_message_is_edited_and_taken_out(bob: Client, eve: Client) -> None:
    chat_id = (await bob.post("/api/chats/new", {"chat": POSTED})).body["id"]
    path = f"/api/chats/{chat_id}/messages/msg_1"
    edited = await bob.post(path, {"content": "Hi!"})
    assert (edited.status, edited.body["chat"]["messages"][0]["content"]) == (200, "Hi!")
    for method, body in (("POST", {"content": "x"}), ("DELETE", None)):
        assert (await eve.ask(method, path, body)).status == 404
    assert (await bob.post(path, {"content": 5})).status == 400
    left = await bob.delete(path)
    assert (left.status, left.body["chat"]["messages"]) == (200, POSTED["messages"][1:])
    assert (await bob.delete(path)).status == 404


async def test_two_clients_of_one_user_lose_none_of_their_messages(bob: Client) -> None:
    chat_id = (await bob.post("/api/chats/new", {"chat": POSTED})).body["id"]
    body = {"email": bob.user["email"], "password": "correct horse battery"}
    other = Client(bob.url, bob.session, bob.user, (await bob.post("/api/auths/signin", body)).body["token"])
    for client in (bob, other):
        assert (await client.get(f"/api/chats/{chat_id}")).body["chat"] == POSTED
    for client, message_id in ((bob, "b1"), (other, "o1"), (bob, "b2")):
        messages = [*POSTED["messages"], {"id": message_id, "role": "user", "content": "?"}]
        assert (await client.post(f"/api/chats/{chat_id}", {"chat": {"messages": messages}})).status == 200
    found = (await bob.get(f"/api/chats/{chat_id}")).body["chat"]["messages"]
    assert {message["id"] for message in found} == {"msg_1", "msg_2", "o1", "b2"}
