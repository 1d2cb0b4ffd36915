"""Shared chats: a picture of the moment for whoever is signed in and has the link, until it is closed."""

import asyncio
from typing import Any

import msgspec
import pytest

from api.app import create_app
from api.http.keys import SETTINGS
from core.settings import Settings
from tests.api.conftest import Client, Reply
from tests.api.rest.chats.test_chats import POSTED


@pytest.fixture
async def chat_id(bob: Client) -> str:
    found: str = (await bob.post("/api/chats/new", {"chat": POSTED})).body["id"]
    return found


async def share(client: Client, chat_id: str) -> Reply:
    reply = await client.post(f"/api/chats/{chat_id}/share", None)
    assert reply.status == 200, reply
    return reply


async def test_a_shared_chat_is_read_by_whoever_has_the_link_and_is_signed_in(
    bob: Client, eve: Client, visitor: Client, chat_id: str
) -> None:
    shared = (await share(bob, chat_id)).body
    assert shared["url"] == f"{bob.url}/s/{shared['share_id']}"
    assert len(shared["share_id"]) >= 22
    assert shared["id"] == chat_id
    assert (await bob.get(f"/api/chats/{chat_id}")).body["share_id"] == shared["share_id"]
    for path in (f"/s/{shared['share_id']}", f"/api/chats/share/{shared['share_id']}"):
        found = await eve.get(path)
        assert (found.status, found.body["chat"], found.body["title"]) == (200, POSTED, "My Chat")
        assert found.body["user"] == {"id": bob.user["id"], "name": "Bob"}
        assert found.body["id"] == found.body["share_id"] == shared["share_id"]
        assert bob.user["email"] not in str(found.body)
        assert chat_id not in str(found.body)
        assert (await visitor.get(path)).status == 401


async def test_what_is_said_later_is_private_until_it_is_shared_again(bob: Client, eve: Client, chat_id: str) -> None:
    share_id = (await share(bob, chat_id)).body["share_id"]
    await bob.post(f"/api/chats/{chat_id}", {"chat": {"title": "Secret", "messages": []}})
    assert (await eve.get(f"/s/{share_id}")).body["chat"] == POSTED
    assert (await share(bob, chat_id)).body["share_id"] == share_id
    assert (await eve.get(f"/s/{share_id}")).body["chat"] == {**POSTED, "title": "Secret", "messages": []}


async def test_sharing_is_no_change_of_a_chat_and_once_however_often_at_once(bob: Client, eve: Client, chat_id: str) -> None:
    before = (await bob.get(f"/api/chats/{chat_id}")).body
    replies = await asyncio.gather(*(share(bob, chat_id) for _ in range(5)))
    (share_id,) = {reply.body["share_id"] for reply in replies}
    assert (await bob.get(f"/api/chats/{chat_id}")).body == {**before, "share_id": share_id}
    assert (await eve.get(f"/s/{share_id}")).status == 200


@pytest.mark.parametrize("way", ["unshare", "delete", "delete all", "delete user"])
async def test_a_closed_share_is_not_there(ada: Client, bob: Client, eve: Client, chat_id: str, way: str) -> None:
    share_id = (await share(bob, chat_id)).body["share_id"]
    if way == "unshare":
        assert (await bob.delete(f"/api/chats/{chat_id}/share")).body is True
        assert (await bob.delete(f"/api/chats/{chat_id}/share")).body is False
        assert (await share(bob, chat_id)).body["share_id"] != share_id
    elif way == "delete":
        await bob.delete(f"/api/chats/{chat_id}")
    elif way == "delete all":
        await bob.delete("/api/chats/")
    else:
        await ada.delete(f"/api/users/{bob.user['id']}")
    for method, path in (
        ("GET", f"/s/{share_id}"),
        ("GET", f"/api/chats/share/{share_id}"),
        ("POST", f"/api/chats/{share_id}/clone/shared"),
    ):
        assert (await eve.ask(method, path)).status == 404


async def test_only_its_owner_shares_and_closes_a_chat(bob: Client, eve: Client, ada: Client, chat_id: str) -> None:
    share_id = (await share(bob, chat_id)).body["share_id"]
    for other in (eve, ada):
        assert (await other.post(f"/api/chats/{chat_id}/share", None)).status == 404
        assert (await other.delete(f"/api/chats/{chat_id}/share")).status == 404
        assert (await other.get(f"/api/chats/{chat_id}")).status == 404
        assert (await other.get(f"/api/chats/{share_id}")).status == 404
    assert (await eve.get(f"/s/{chat_id}")).status == 404
    assert (await eve.get(f"/s/{share_id}")).status == 200


async def test_a_pending_user_reads_no_shared_chat(ada: Client, bob: Client, eve: Client, chat_id: str) -> None:
    share_id = (await share(bob, chat_id)).body["share_id"]
    assert (await ada.post(f"/api/users/{eve.user['id']}/role", {"role": "pending"})).status == 200
    assert (await eve.get(f"/s/{share_id}")).status == 403


async def test_a_shared_chat_is_cloned_into_ones_own(bob: Client, eve: Client, chat_id: str) -> None:
    share_id = (await share(bob, chat_id)).body["share_id"]
    copy = await eve.post(f"/api/chats/{share_id}/clone/shared", None)
    assert (copy.status, copy.body["title"]) == (201, "Clone of My Chat")
    assert copy.body["chat"] == {**POSTED, "title": "Clone of My Chat"}
    assert copy.body["user_id"] == eve.user["id"]
    assert (await eve.post(f"/api/chats/{share_id}/clone/shared", {"title": "Mine"})).body["title"] == "Mine"
    assert (await eve.get(f"/api/chats/{copy.body['id']}")).body == copy.body


async def test_a_browser_gets_a_page_and_nothing_of_the_chat_before_it_signs_in(visitor: Client, bob: Client, chat_id: str) -> None:
    share_id = (await share(bob, chat_id)).body["share_id"]
    for who in ({}, bob.headers, {"Authorization": "Bearer nonsense"}):
        headers = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8", **who}
        async with visitor.session.get(f"{visitor.url}/s/{share_id}", headers=headers) as response:
            page = await response.text()
        assert (response.status, response.content_type, response.headers["Vary"]) == (200, "text/html", "Accept")
        assert response.headers["Content-Security-Policy"].startswith("default-src 'none'; script-src 'self'; style-src 'self';")
        assert "Hello!" not in page


class TestBehindAPublicAddress:
    """A server that is told how people reach it."""

    @pytest.fixture
    def app(self, settings: Settings) -> Any:
        return create_app(msgspec.structs.replace(settings, public_url="https://chat.example.com/"))

    async def test_links_begin_with_it(self, bob: Client, app: Any, chat_id: str) -> None:
        assert app[SETTINGS].public_url
        shared = (await share(bob, chat_id)).body
        assert shared["url"] == f"https://chat.example.com/s/{shared['share_id']}"
