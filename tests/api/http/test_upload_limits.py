"""Files that are sent have a limit of their own: whoever sends many can still ask."""

import asyncio
from typing import Any

import msgspec
import pytest

from core.settings import Settings
from tests.api.conftest import Client, Reply
from tests.api.forms import HEADERS, file_form

REQUESTS, UPLOADS = 4, 6
CONFIG = "/api/configs/rate_limits"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return msgspec.structs.replace(settings, rate_limit_per_minute=REQUESTS, upload_rate_limit_per_minute=UPLOADS)


async def send(client: Client, path: str = "/api/files/") -> Reply:
    return await client.post(path, file_form(b"Hello!"), headers=HEADERS)


def left(reply: Reply) -> tuple[str, str]:
    return reply.headers["X-RateLimit-Limit"], reply.headers["X-RateLimit-Remaining"]


async def test_uploads_use_up_their_own_limit_and_nothing_else_does(bob: Client) -> None:
    paths = ("/api/files/", "/api/files", "/api/files/?process=false")
    sent = [await send(bob, paths[number % 3]) for number in range(UPLOADS)]
    assert [(reply.status, *left(reply)) for reply in sent] == [(201, str(UPLOADS), str(UPLOADS - used)) for used in range(1, UPLOADS + 1)]
    refused = await send(bob)
    assert (refused.status, left(refused), 0 < int(refused.headers["Retry-After"]) <= 60) == (429, (str(UPLOADS), "0"), True)
    assert refused.body["detail"].startswith(f"You have sent {UPLOADS} files within a minute, which is the limit. Try again in ")
    asked = [await bob.get("/api/files/") for _ in range(REQUESTS)]
    assert [(reply.status, *left(reply)) for reply in asked] == [
        (200, str(REQUESTS), str(REQUESTS - used)) for used in range(1, REQUESTS + 1)
    ]
    assert (await bob.get("/api/files/")).status == 429


async def test_requests_leave_the_limit_of_uploads_as_it_is(bob: Client) -> None:
    assert [(await bob.get("/api/files/")).status for _ in range(REQUESTS + 1)] == [200] * REQUESTS + [429]
    assert left(await send(bob)) == (str(UPLOADS), str(UPLOADS - 1))


async def test_one_user_does_not_use_up_anothers_and_racing_ones_never_get_one_too_many_through(bob: Client, eve: Client) -> None:
    replies = await asyncio.gather(*(send(client) for client in (bob, eve) for _ in range(2 * UPLOADS)))
    assert [[reply.status for reply in part].count(201) for part in (replies[: 2 * UPLOADS], replies[2 * UPLOADS :])] == [UPLOADS, UPLOADS]
    assert {(await client.get("/api/files/")).status for client in (bob, eve)} == {200}


async def test_all_of_ones_tokens_and_keys_share_it(bob: Client) -> None:
    key = (await bob.post("/api/users/api_key", {"name": "mine"})).body["api_key"]
    other = Client(bob.url, bob.session, bob.user, key)
    assert [left(await send(client))[1] for client in (bob, other, bob)] == ["5", "4", "3"]


async def test_administrators_are_free_and_set_it_while_it_runs(ada: Client, bob: Client) -> None:
    assert {(reply.status, *left(reply)) for reply in [await send(ada) for _ in range(UPLOADS + 1)]} == {(201, "6", "6")}
    assert (await ada.post(CONFIG, {"uploads_per_minute": 1})).body["uploads_per_minute"] == 1
    assert [(await send(bob)).status for _ in range(2)] == [201, 429]
    await ada.post(CONFIG, {"uploads_per_minute": None})
    free = await send(bob)
    assert (free.status, "X-RateLimit-Limit" in free.headers) == (201, False)


@pytest.mark.parametrize("wrong", [{"uploads_per_minute": 0}, {"uploads_per_minute": "many"}])
async def test_a_limit_that_is_none_is_refused(ada: Client, wrong: dict[str, Any]) -> None:
    assert (await ada.post(CONFIG, wrong)).status == 400


async def test_who_is_not_signed_in_is_told_so(visitor: Client) -> None:
    assert {(await send(visitor)).status for _ in range(UPLOADS + 1)} == {401}
