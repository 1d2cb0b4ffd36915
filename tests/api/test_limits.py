import asyncio
import time
from typing import Any

import msgspec
import pytest

from api.keys import LIMITS
from core.models.users import Principal, Role, User
from core.services.limits import Limits
from core.settings import Settings
from core.storage.redis import Scripts, connect
from tests.api.conftest import Client

LIMIT = 5


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return msgspec.structs.replace(settings, rate_limit_per_minute=LIMIT)


async def test_every_signed_in_answer_says_what_is_left(bob: Client) -> None:
    for used in range(1, LIMIT + 1):
        reply = await bob.get("/api/auths/")
        assert (reply.headers["X-RateLimit-Limit"], reply.headers["X-RateLimit-Remaining"]) == (str(LIMIT), str(LIMIT - used))
        assert time.time() <= int(reply.headers["X-RateLimit-Reset"]) <= time.time() + 61


async def test_beyond_the_limit_there_is_429_with_a_time_to_wait(bob: Client) -> None:
    replies = [
        await bob.get(path)
        for path in ("/api/auths/", "/api/chats/", "/v1/models", "/api/auths/", "/api/nothing", "/api/auths/", "/api/auths/")
    ]
    assert [reply.status for reply in replies] == [200, 200, 200, 200, 404, 200, 429]
    refused = replies[-1]
    assert list(refused.body) == ["detail"]
    assert 0 < int(refused.headers["Retry-After"]) <= 60
    assert refused.headers["X-RateLimit-Remaining"] == "0"


async def test_on_openais_routes_a_429_has_openais_shape(bob: Client) -> None:
    for _ in range(LIMIT):
        await bob.get("/api/auths/")
    refused = await bob.post("/v1/chat/completions", {})
    assert (refused.status, refused.body["error"]["type"], refused.body["error"]["code"]) == (
        429,
        "rate_limit_error",
        "rate_limit_exceeded",
    )


async def test_racing_requests_never_let_one_too_many_through(bob: Client, eve: Client) -> None:
    replies = await asyncio.gather(*(bob.get("/api/auths/") for _ in range(4 * LIMIT)))
    assert [reply.status for reply in replies].count(200) == LIMIT
    assert sorted(reply.headers["X-RateLimit-Remaining"] for reply in replies if reply.status == 200) == [
        str(left) for left in range(LIMIT)
    ]
    assert (await eve.get("/api/auths/")).status == 200


async def test_racing_processes_share_one_budget(redis_url: str) -> None:
    user = User(id="u", name="U", email="u@example.com", role=Role.USER, created_at=0, updated_at=0, last_active_at=0)
    clients = [connect(redis_url) for _ in range(3)]
    limits = [Limits(Scripts(client, patience_s=0), per_minute=LIMIT) for client in clients]
    budgets = await asyncio.gather(*(one.take(Principal(user=user)) for one in limits * LIMIT))
    assert [budget.allowed for budget in budgets if budget].count(True) == LIMIT
    for client in clients:
        await client.aclose()


async def test_the_budget_comes_back_as_the_window_moves(bob: Client, services: Any) -> None:
    for _ in range(LIMIT):
        await bob.get("/api/auths/")
    assert (await bob.get("/api/auths/")).status == 429
    key = f"rate:{bob.user['id']}"
    oldest = (await services.redis.zrange(key, 0, 0, withscores=True))[0]
    await services.redis.zadd(key, {oldest[0]: oldest[1] - 60_000})
    assert [(await bob.get("/api/auths/")).status for _ in range(2)] == [200, 429]


async def test_administrators_have_no_limit(ada: Client) -> None:
    replies = [await ada.get("/api/auths/") for _ in range(LIMIT + 2)]
    assert {reply.status for reply in replies} == {200}
    assert "X-RateLimit-Limit" not in replies[0].headers


async def test_a_redis_that_is_away_stops_no_request(bob: Client, app: Any) -> None:
    app[LIMITS]._scripts = Scripts(connect("redis://127.0.0.1:1/0"), patience_s=0)
    replies = [await bob.get("/api/auths/") for _ in range(LIMIT + 1)]
    assert {reply.status for reply in replies} == {200}
