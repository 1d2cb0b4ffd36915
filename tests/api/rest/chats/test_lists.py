"""Chats found again: in pages, by marks, by what stands in them."""

from typing import Any

import pytest

from tests.api.conftest import Client


async def ids(client: Client, path: str) -> list[str]:
    reply = await client.get(path)
    assert reply.status == 200, reply
    return [row["id"] for row in reply.body]


async def test_the_list_comes_in_numbered_pages_too(bob: Client) -> None:
    made = [await bob.chat(str(number)) for number in range(5)][::-1]
    assert await ids(bob, "/api/chats/?page=1") == made
    assert await ids(bob, "/api/chats/?page=2") == []
    assert await ids(bob, "/api/chats/?page=2&limit=2") == made[2:4]
    for page in ("0", "-1", "x", "99999999"):
        assert (await bob.get(f"/api/chats/?page={page}")).status == 400


async def test_pinned_and_archived_chats_are_in_the_list_unless_they_are_left_out(bob: Client) -> None:
    plain, pinned, archived, both = [await bob.chat(title) for title in ("plain", "pinned", "archived", "both")]
    times = {row["id"]: row["updated_at"] for row in (await bob.get("/api/chats/")).body}
    for chat_id in (pinned, both):
        assert (await bob.post(f"/api/chats/{chat_id}/pin", None)).body["pinned"] is True
    for chat_id in (archived, both):
        assert (await bob.post(f"/api/chats/{chat_id}/archive", {"archived": True})).body["archived"] is True
    assert await ids(bob, "/api/chats/") == [both, archived, pinned, plain]
    assert await ids(bob, "/api/chats/?pinned=true") == await ids(bob, "/api/chats/pinned") == [both, pinned]
    assert await ids(bob, "/api/chats/?archived=true") == await ids(bob, "/api/chats/archived?page=1") == [both, archived]
    assert await ids(bob, "/api/chats/?pinned=false&archived=false") == [plain]
    assert await ids(bob, "/api/chats/pinned?limit=1&after=" + both) == [pinned]
    assert {row["id"]: row["updated_at"] for row in (await bob.get("/api/chats/")).body} == times
    assert (await bob.get("/api/chats/?pinned=perhaps")).status == 400


async def test_a_mark_is_turned_or_set(bob: Client) -> None:
    chat_id = await bob.chat()
    assert (await bob.get(f"/api/chats/{chat_id}/pinned")).body is False
    for body, pinned in ((None, True), (None, False), ({"pinned": False}, False), ({"pinned": True}, True), ({}, False)):
        reply = await bob.post(f"/api/chats/{chat_id}/pin", body)
        assert (reply.status, reply.body["pinned"]) == (200, pinned)
        assert (await bob.get(f"/api/chats/{chat_id}/pinned")).body is pinned
    bodies: tuple[Any, ...] = (b"{", {"pinned": "yes"}, [])
    for bad in bodies:
        assert (await bob.post(f"/api/chats/{chat_id}/pin", bad)).status == 400


async def test_all_are_archived_and_taken_out_again(bob: Client, eve: Client) -> None:
    mine, hers = {await bob.chat(), await bob.chat()}, await eve.chat()
    assert (await bob.post("/api/chats/archive/all", None)).body is True
    assert set(await ids(bob, "/api/chats/archived")) == mine
    assert await ids(eve, "/api/chats/?archived=false") == [hers]
    assert (await bob.post("/api/chats/unarchive/all", None)).body is True
    assert await ids(bob, "/api/chats/archived") == []


async def test_chats_are_found_by_title_and_message(bob: Client, eve: Client) -> None:
    said = await bob.chat("Geography", messages=[{"role": "user", "content": "Where does the RIVER rise?"}])
    titled = await bob.chat("River")
    await bob.chat("Else")
    await eve.chat("River")
    assert await ids(bob, "/api/chats/search?text=river") == [titled, said]
    assert await ids(bob, "/api/chats/search?text=river&limit=1&page=2") == [said]
    assert len(await ids(bob, "/api/chats/search")) == 3
    assert (await bob.get(f"/api/chats/search?text={'x' * 1_001}")).status == 400


async def test_all_of_ones_own_are_deleted(bob: Client, eve: Client) -> None:
    await bob.chat()
    asked = await bob.post(f"/api/chats/{await bob.chat()}/messages", {"content": "?"})
    hers = await eve.chat()
    reply = await bob.delete("/api/chats/")
    assert (reply.status, reply.body) == (200, True)
    assert await ids(bob, "/api/chats/") == []
    events = f"{bob.url}/api/generations/{asked.body['generation_id']}/events"
    async with bob.session.get(events, headers=bob.headers) as response:
        assert "event: cancelled" in await response.text()
    assert await ids(eve, "/api/chats/") == [hers]


@pytest.mark.parametrize(("method", "path"), [("POST", "pin"), ("GET", "pinned"), ("POST", "archive"), ("POST", "clone")])
async def test_a_stranger_finds_no_chat_to_mark_or_copy(bob: Client, eve: Client, ada: Client, method: str, path: str) -> None:
    chat_id = await bob.chat()
    for other in (eve, ada):
        assert (await other.ask(method, f"/api/chats/{chat_id}/{path}")).status == 404
    assert (await bob.ask(method, f"/api/chats/{chat_id}/{path}")).status in {200, 201}


@pytest.mark.parametrize(
    ("asked", "detail"),
    [
        ("page=0", "page must be a whole number from 1 to 1000000, not '0'."),
        ("page=two", "page must be a whole number from 1 to 1000000, not 'two'."),
        ("limit=", "limit must be a whole number from 1 to 1000, not ''."),
        ("pinned=maybe", "pinned must be true or false, not 'maybe'."),
        ("page=1&page=2", "page: given 2 times. Give it once."),
    ],
)
async def test_a_parameter_that_cannot_be_used_is_shown_as_it_came(bob: Client, asked: str, detail: str) -> None:
    refused = await bob.get(f"/api/chats/?{asked}")
    assert (refused.status, refused.body) == (400, {"detail": detail})
