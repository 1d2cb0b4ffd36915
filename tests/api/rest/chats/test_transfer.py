"""Copies of chats: beside themselves, out into a file, and back."""

from typing import Any

import pytest

from tests.api.conftest import Client
from tests.api.rest.chats.test_chats import POSTED


async def test_a_clone_is_a_chat_of_its_own(bob: Client) -> None:
    chat_id = (await bob.post("/api/chats/new", {"chat": POSTED})).body["id"]
    await bob.post(f"/api/chats/{chat_id}/pin", None)
    named = await bob.post(f"/api/chats/{chat_id}/clone", {"title": "Another"})
    assert named.status == 201
    assert named.body["id"] != chat_id
    assert (named.body["title"], named.body["chat"], named.body["pinned"]) == ("Another", {**POSTED, "title": "Another"}, False)
    assert (await bob.post(f"/api/chats/{chat_id}/clone", None)).body["title"] == "Clone of My Chat"
    await bob.delete(f"/api/chats/{chat_id}")
    assert (await bob.get(f"/api/chats/{named.body['id']}")).body == named.body


async def test_what_is_exported_comes_in_again_as_it_was(bob: Client, eve: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.services.chats.copies.READ_AT_ONCE", 2)
    assert (await bob.get("/api/chats/all")).body == []
    made = [await bob.chat(str(number), messages=POSTED["messages"], odd={"n": 2**70, "f": 1.5}) for number in range(5)]
    await bob.post(f"/api/chats/{made[0]}/pin", None)
    await bob.post(f"/api/chats/{made[1]}/archive", None)
    exported = await bob.get("/api/chats/all")
    assert (exported.status, exported.headers["Content-Type"]) == (200, "application/json")
    assert [chat["id"] for chat in exported.body] == made[::-1]
    assert exported.body[0] == (await bob.get(f"/api/chats/{made[-1]}")).body
    for form in (exported.body, {"chats": exported.body}):
        taken = await eve.post("/api/chats/import", form)
        assert taken.status == 201
        assert [row["id"] for row in taken.body] == [row["id"] for row in (await eve.get("/api/chats/")).body]
        again = (await eve.get("/api/chats/all")).body
        assert [without_ids(chat) for chat in again] == [without_ids(chat) for chat in exported.body]
        assert {chat["user_id"] for chat in again} == {eve.user["id"]}
        assert not {chat["id"] for chat in again} & set(made)
        await eve.delete("/api/chats/")


def without_ids(chat: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in chat.items() if name not in {"id", "user_id"}}


async def test_a_file_comes_in_whole_or_not_at_all(bob: Client) -> None:
    reply = await bob.post("/api/chats/import", [{"chat": {"title": "good"}}, {"chat": {"messages": [{"role": 5}]}}])
    assert reply.status == 400
    assert reply.body["detail"].startswith("[1].chat.messages[0].role must be")
    bodies: tuple[Any, ...] = ({}, [{}], [5], {"chats": [{"chat": []}]}, [{"chat": {}, "created_at": -1}], "x")
    for bad in bodies:
        assert (await bob.post("/api/chats/import", bad)).status == 400
    assert (await bob.get("/api/chats/")).body == []
    assert (await bob.post("/api/chats/import", [{"chat": {"title": "bare"}}, {"chat": {}, "title": "outside"}])).status == 201
    assert {row["title"] for row in (await bob.get("/api/chats/")).body} == {"bare", "outside"}


@pytest.mark.parametrize(
    ("inside", "outside", "title"), [("in", "out", "in"), ("", "out", "out"), (None, "out", "out"), ("", "", "New Chat")]
)
async def test_a_chat_out_of_a_file_has_the_title_that_says_something(bob: Client, inside: Any, outside: str, title: str) -> None:
    reply = await bob.post("/api/chats/import", [{"chat": {"title": inside}, "title": outside}])
    assert [row["title"] for row in reply.body] == [title]
