import asyncio
from typing import Any

import pytest

from core import storage
from core.errors import Unavailable
from core.jobs.claims import Held
from core.models.users import Role
from core.services import Services
from core.services.users.pictures import SIGNATURES
from core.storage import chats, users
from tests.api.conftest import Client, sign_up
from tests.api.manual_jobs import claim_next
from tests.api.rest.test_accounts import PNG, another, signed_in
from tests.api.socketio_client import connect_socket
from tests.browser import opened
from tests.polling import until

PASSWORD = "correct horse battery"
SHOW = "async address => { const image = new Image(); image.src = address; await image.decode(); return [image.width, image.height] }"


async def names(admin: Client, query: str = "") -> list[str]:
    reply = await admin.get(f"/api/users/{query}")
    assert reply.status == 200, reply
    return [user["name"] for user in reply.body]


async def test_an_administrator_sees_all_users_whole_and_nobody_else_does(ada: Client, bob: Client, visitor: Client) -> None:
    reply = await ada.get("/api/users/?order_by=name")
    assert [user["email"] for user in reply.body] == ["ada@example.com", "bob@example.com"]
    assert set(reply.body[0]) >= {"id", "name", "email", "role", "profile_image_url", "created_at", "last_active_at"}
    assert reply.headers["X-Total-Count"] == "2"
    assert "argon2" not in str(reply.body)
    assert [(await client.get("/api/users/")).status for client in (bob, visitor)] == [403, 401]
    assert (await ada.get("/api/users?order_by=name")).body == reply.body


@pytest.fixture
async def crowd(ada: Client, visitor: Client) -> list[Client]:
    """Five users; Ada is the first."""
    return [ada, *[await sign_up(visitor, name) for name in ("eve", "Bob", "Dan_x", "carol")]]


async def test_users_are_searched_ordered_and_paged(ada: Client, crowd: list[Client], services: Services) -> None:
    for place, client in enumerate(crowd):
        moments = {"created_at": 100 + place, "last_active_at": 500 - place}
        await services.records.update(users.COLLECTION, client.user["id"], moments)
    everybody = ["Ada", "eve", "Bob", "Dan_x", "carol"]
    assert await names(ada) == await names(ada, "?order_by=created_at&direction=asc") == everybody
    assert await names(ada, "?direction=desc") == everybody[::-1]
    assert await names(ada, "?order_by=name") == ["Ada", "Bob", "carol", "Dan_x", "eve"]
    assert await names(ada, "?order_by=email&direction=desc") == ["eve", "Dan_x", "carol", "Bob", "Ada"]
    assert (await names(ada, "?order_by=role"))[0] == "Ada"
    assert (await names(ada, "?order_by=last_active_at"))[:4] == ["carol", "Dan_x", "Bob", "eve"]
    assert await names(ada, "?query=B") == ["Bob"]
    assert await names(ada, "?query=DAN_X@exam") == ["Dan_x"]
    assert await names(ada, "?query=%25") == await names(ada, "?query=.*") == []
    assert await names(ada, "?page=1&limit=2") == ["Ada", "eve"]
    assert await names(ada, "?page=3&limit=2") == ["carol"]
    assert await names(ada, "?page=4&limit=2") == []
    assert await names(ada, "?page=1") == everybody
    seen: list[str] = []
    query = "?limit=2&order_by=name"
    while page := (await ada.get(f"/api/users/{query}")).body:
        seen += [user["name"] for user in page]
        query = f"?limit=2&order_by=name&after={page[-1]['id']}"
    assert seen == ["Ada", "Bob", "carol", "Dan_x", "eve"]
    assert (await ada.get("/api/users/?query=example&limit=1")).headers["X-Total-Count"] == "5"


@pytest.mark.parametrize("query", ["order_by=password_hash", "direction=up", "limit=0", "limit=x", "page=0", "after=nobody"])
async def test_a_list_that_cannot_be_made_says_why(ada: Client, query: str) -> None:
    reply = await ada.get(f"/api/users/?{query}")
    assert (reply.status, query.partition("=")[0] in reply.body["detail"]) == (400, True)


async def test_others_see_a_users_name_and_picture_only(ada: Client, bob: Client, eve: Client) -> None:
    path = f"/api/users/{bob.user['id']}"
    assert (await eve.get(path)).body == {"id": bob.user["id"], "name": "Bob", "profile_image_url": "/user.png"}
    whole = (await bob.get(path)).body
    assert (whole["email"], whole["role"]) == ("bob@example.com", "user")
    assert (await ada.get(path)).body == whole
    assert (await eve.get("/api/users/nobody")).status == 404


async def test_a_user_changes_themself_but_nobody_else_nor_what_is_an_administrators_to_change(
    ada: Client, bob: Client, eve: Client
) -> None:
    path = f"/api/users/{bob.user['id']}/update"
    body = {"name": "Robert", "profile_image_url": "https://example.com/b.png", "role": "admin", "email": "Bob@example.com", "password": ""}
    reply = await bob.post(path, body)
    assert reply.status == 200
    assert (reply.body["name"], reply.body["profile_image_url"], reply.body["role"]) == ("Robert", "https://example.com/b.png", "user")
    assert (await eve.post(path, {"name": "x"})).status == 403
    assert (await eve.post("/api/users/nobody/update", {"name": "x"})).status == 403
    assert (await bob.post(path, {"email": "b@example.com"})).status == 403
    assert (await bob.post(path, {"password": "battery staple"})).status == 403
    assert (await bob.post(path, {"name": "  "})).status == 400
    assert (await ada.post("/api/users/nobody/update", {"name": "x"})).status == 404
    assert await names(ada, "?order_by=name") == ["Ada", "Eve", "Robert"]
    assert await names(ada, "?query=robert") == ["Robert"]
    assert await names(ada, "?query=bob") == ["Robert"]


async def test_an_administrator_changes_everything_of_everybody(ada: Client, bob: Client, eve: Client, visitor: Client) -> None:
    path = f"/api/users/{bob.user['id']}/update"
    reply = await ada.post(path, {"email": " Robert@Example.com", "password": "battery staple", "role": "admin"})
    assert (reply.status, reply.body["email"], reply.body["role"]) == (200, "robert@example.com", "admin")
    assert (await bob.get("/api/auths/")).status == 401
    assert (await signed_in(visitor, "robert", "battery staple")).body["role"] == "admin"
    assert await names(ada, "?query=robert@") == ["Bob"]
    for body, field in (
        ({"email": "eve@example.com"}, "email"),
        ({"email": "x"}, "email"),
        ({"role": "x"}, "role"),
        ({"password": "x"}, "password"),
    ):
        reply = await ada.post(path, body)
        assert (reply.status, field in reply.body["detail"]) == (400, True), body
    assert (await eve.get("/api/auths/")).body["email"] == "eve@example.com"


async def test_an_administrator_who_sets_their_own_password_goes_on(ada: Client) -> None:
    phone = await another(ada)
    assert (await ada.post(f"/api/users/{ada.user['id']}/update", {"password": "battery staple"})).status == 200
    assert [(await client.get("/api/auths/")).status for client in (ada, phone)] == [200, 401]
    key = (await ada.post("/api/users/api_key", {})).body["api_key"]
    program = Client(ada.url, ada.session, ada.user, key)
    assert (await program.post(f"/api/users/{ada.user['id']}/update", {"password": "another one"})).status == 403


async def test_a_role_is_changed_by_administrators_only_and_counts_at_once(ada: Client, bob: Client, eve: Client) -> None:
    path = f"/api/users/{bob.user['id']}/role"
    assert (await eve.post(path, {"role": "admin"})).status == 403
    assert (await bob.post(path, {"role": "admin"})).status == 403
    reply = await ada.post(path, {"role": "admin"})
    assert (reply.status, reply.body["role"]) == (200, "admin")
    assert (await bob.get("/api/users/")).status == 200
    assert (await ada.post(path, {"role": "pending"})).body["role"] == "pending"
    assert (await bob.get("/api/chats/")).status == 403
    refused = await ada.post(path, {"role": "king"})
    assert (refused.status, refused.body["detail"]) == (400, "role must be one of admin, user, pending.")
    assert (await ada.post("/api/users/nobody/role", {"role": "user"})).status == 404


async def test_the_last_administrator_can_be_neither_demoted_nor_deleted(ada: Client, bob: Client) -> None:
    path = f"/api/users/{ada.user['id']}"
    for reply in (
        await ada.post(f"{path}/role", {"role": "user"}),
        await ada.post(f"{path}/update", {"role": "pending"}),
        await ada.ask("DELETE", path),
    ):
        assert (reply.status, "last administrator" in reply.body["detail"]) == (400, True)
    await ada.post(f"/api/users/{bob.user['id']}/role", {"role": "admin"})
    assert (await ada.post(f"{path}/role", {"role": "user"})).body["role"] == "user"
    assert (await bob.post(f"/api/users/{bob.user['id']}/role", {"role": "user"})).status == 400


@pytest.mark.parametrize("deleting", [False, True])
async def test_of_administrators_who_demote_each_other_at_once_on_two_processes_one_remains(
    ada: Client,
    visitor: Client,
    elsewhere: str,
    services: Services,
    deleting: bool,  # noqa: FBT001
) -> None:
    everybody = [ada, *[await sign_up(visitor, f"N{number}") for number in range(3)]]
    for client in everybody[1:]:
        await ada.post(f"/api/users/{client.user['id']}/role", {"role": "admin"})
    there = [Client(elsewhere, client.session, client.user, client.token) for client in everybody]

    async def go(client: Client) -> int:
        path = f"/api/users/{client.user['id']}"
        asking = client.ask("DELETE", path) if deleting else client.post(f"{path}/role", {"role": "user"})
        return (await asking).status

    answers = await asyncio.gather(*(go(client) for pair in zip(everybody, there, strict=True) for client in pair))
    assert set(answers) <= {200, 400, 401, 403, 404}
    assert await services.records.count(users.COLLECTION, {"role": "admin"}) == 1
    assert await services.records.count(users.COLLECTION, {}) == (1 if deleting else 4)


async def test_a_user_made_by_an_administrator_may_sign_in(ada: Client, bob: Client, visitor: Client) -> None:
    body = {"name": "Cy", "email": "Cy@example.com", "password": PASSWORD}
    reply = await ada.post("/api/auths/add", body)
    assert (reply.status, reply.body["email"], reply.body["role"]) == (201, "cy@example.com", "user")
    assert "token" not in reply.body
    assert (await signed_in(visitor, "cy")).status == 200
    assert (await ada.post("/api/auths/add", {**body, "email": "d@example.com", "role": "admin"})).body["role"] == "admin"
    assert (await ada.post("/api/auths/add", {**body, "email": "p@example.com", "role": "king"})).status == 400
    assert (await ada.post("/api/auths/add", body)).status == 400
    assert (await bob.post("/api/auths/add", {**body, "email": "e@example.com"})).status == 403


async def test_a_deleted_user_goes_with_all_that_is_theirs(ada: Client, bob: Client, eve: Client, services: Services) -> None:
    key = (await bob.post("/api/users/api_key", {})).body["api_key"]
    await bob.post("/api/auths/update/profile", {"profile_image_url": PNG})
    chat_id, kept = await bob.chat(), await eve.chat()
    await bob.post(f"/api/chats/{chat_id}/archive", None)
    assert (await bob.post("/api/models/create", {"name": "bobs-own", "base_model": "echo"})).status == 201
    assert (await bob.post(f"/api/chats/{chat_id}/share", None)).status == 200
    running = await bob.post(f"/api/chats/{chat_id}/messages", {"content": "x"})
    plain = asyncio.create_task(bob.post("/v1/chat/completions", {"model": "echo", "messages": [{"role": "user", "content": "x"}]}))
    makings = [await claim_next(services), await claim_next(services)]
    async with connect_socket(bob) as socket:
        await socket.call("join_chat", {"chat_id": chat_id})
        assert (await eve.delete(f"/api/users/{bob.user['id']}")).status == 403
        assert (await bob.delete(f"/api/users/{bob.user['id']}")).status == 403
        assert (await ada.delete(f"/api/users/{bob.user['id']}")).body is True
        await until(lambda: not socket.client.connected, "the socket is let out")
        assert socket.of("error")
    assert await services.claims.look([making.claim for making in makings]) == [Held.CANCELLED, Held.CANCELLED]
    assert running.body["generation_id"] in {making.claim.spec.id for making in makings}
    plain.cancel()
    for token in (bob.token, key):
        assert (await Client(bob.url, bob.session, token=token).get("/api/auths/")).status == 401
    for collection in storage.COLLECTIONS:
        left = await services.records.find(collection, {}, dict)
        assert not [record for record in left if bob.user["id"] in str(record) or chat_id in str(record)], collection.name
    assert (await ada.get(f"/api/users/{bob.user['id']}")).status == 404
    assert (await ada.delete(f"/api/users/{bob.user['id']}")).status == 404
    assert (await eve.get(f"/api/chats/{kept}")).status == 200
    assert (await signed_in(eve, "bob")).status == 401


async def test_a_deletion_that_broke_off_is_finished_when_it_is_asked_for_again(
    ada: Client, bob: Client, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bob.chat()

    async def break_off(_: Any) -> None:
        raise Unavailable

    with monkeypatch.context() as patch:
        patch.setattr(services.accounts._removal, "_belongings", (break_off,))
        assert (await ada.ask("DELETE", f"/api/users/{bob.user['id']}")).status == 503
    assert (await bob.get("/api/auths/")).body["role"] == "pending"
    assert (await ada.delete(f"/api/users/{bob.user['id']}")).body is True
    assert await services.records.count(chats.COLLECTION, {}) == 0


async def test_a_pending_user_cannot_be_what_they_are_not(visitor: Client, ada: Client, services: Services) -> None:
    services.users._role = Role.PENDING
    pim = await sign_up(visitor, "Pim")
    assert [(await pim.get(path)).status for path in ("/api/users/", "/api/users/api_keys")] == [403, 403]
    assert (await pim.post(f"/api/users/{pim.user['id']}/role", {"role": "admin"})).status == 403
    assert (await pim.post(f"/api/users/{pim.user['id']}/update", {"role": "admin", "name": "Pia"})).body["role"] == "pending"
    assert (await pim.post(f"/api/users/{ada.user['id']}/update", {"name": "x"})).status == 403
    assert (await pim.delete(f"/api/users/{pim.user['id']}")).status == 403


async def test_users_without_a_picture_have_one_that_anybody_may_see(url: str, bob: Client, visitor: Client) -> None:
    assert bob.user["profile_image_url"] == "/user.png"
    async with opened(url, "/redoc") as page:
        assert await page.evaluate(SHOW, "/user.png") == [256, 256]
    async with visitor.session.get(f"{url}/user.png") as response:
        assert (response.status, response.content_type) == (200, "image/png")
        assert (await response.read()).startswith(SIGNATURES["image/png"])
