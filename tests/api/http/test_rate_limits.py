import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import msgspec
import pytest
import socketio
from aiohttp import web

from api.app import create_app
from api.http.keys import SERVICES
from api.http.server import Runner
from core.redis import rate_limits, sign_in_attempts
from core.redis.client import Scripts, connect
from core.settings import Settings
from tests.api.conftest import Client
from tests.api.socketio_client import connect_socket
from tests.polling import until

LIMIT = 5
CONFIG = "/api/configs/rate_limits"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return msgspec.structs.replace(settings, rate_limit_per_minute=LIMIT)


def left(reply: Any) -> tuple[str, str]:
    return reply.headers["X-RateLimit-Limit"], reply.headers["X-RateLimit-Remaining"]


async def test_every_signed_in_answer_says_what_is_left(bob: Client) -> None:
    for used in range(1, LIMIT + 1):
        reply = await bob.get("/api/auths/")
        assert left(reply) == (str(LIMIT), str(LIMIT - used))
        assert time.time() <= int(reply.headers["X-RateLimit-Reset"]) <= time.time() + 61


async def test_so_do_errors_and_refusals(bob: Client) -> None:
    for used, path in enumerate(("/api/chats/nowhere", "/api/chats/?limit=x", CONFIG), start=1):
        reply = await bob.get(path)
        assert (reply.status >= 400, left(reply)) == (True, (str(LIMIT), str(LIMIT - used)))


async def test_beyond_the_limit_there_is_429_with_a_time_to_wait(bob: Client) -> None:
    replies = [
        await bob.get(path)
        for path in ("/api/auths/", "/api/chats/", "/v1/models", "/api/auths/", "/api/nothing", "/api/auths/", "/api/auths/")
    ]
    assert [reply.status for reply in replies] == [200, 200, 200, 200, 404, 200, 429]
    refused = replies[-1]
    assert list(refused.body) == ["detail"]
    assert 0 < int(refused.headers["Retry-After"]) <= 60
    assert left(refused) == (str(LIMIT), "0")


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
        str(rest) for rest in range(LIMIT)
    ]
    assert (await eve.get("/api/auths/")).status == 200


async def test_all_of_ones_tokens_share_one_budget(bob: Client) -> None:
    again = await bob.post("/api/auths/signin", {"email": "bob@example.com", "password": "correct horse battery"})
    other = Client(bob.url, bob.session, again.body["user"], again.body["token"])
    assert [left(await client.get("/api/auths/"))[1] for client in (bob, other, bob)] == ["4", "3", "2"]


async def test_all_faces_and_api_keys_take_from_the_same_budget(bob: Client) -> None:
    key = (await bob.post("/api/users/api_key", {"name": "mine"})).body["api_key"]
    assert left(await Client(bob.url, bob.session, bob.user, key).get("/api/auths/"))[1] == "3"
    asked = await bob.post("/graphql", {"query": "{ me { id } }"}, headers={"Content-Type": "application/json"})
    assert (asked.body["data"]["me"]["id"], left(asked)[1]) == (bob.user["id"], "2")
    async with connect_socket(bob) as socket:
        chat_id = await bob.chat()
        assert (await socket.call("join_chat", {"chat_id": chat_id}))["ok"]
        refused = await socket.call("join_chat", {"chat_id": chat_id})
    assert (refused["ok"], refused["error"]["code"], 0 < refused["error"]["retry_after"] <= 60) == (False, "rate_limit_exceeded", True)
    assert (await bob.get("/api/auths/")).status == 429


async def test_the_budget_comes_back_as_the_window_moves(bob: Client, services: Any) -> None:
    for _ in range(LIMIT):
        await bob.get("/api/auths/")
    assert (await bob.get("/api/auths/")).status == 429
    key = f"rate:{bob.user['id']}"
    oldest = (await services.redis.zrange(key, 0, 0, withscores=True))[0]
    await services.redis.zadd(key, {oldest[0]: oldest[1] - 60_000})
    assert [(await bob.get("/api/auths/")).status for _ in range(2)] == [200, 429]


async def test_administrators_are_free_and_told_the_limit(ada: Client) -> None:
    replies = [await ada.get("/api/auths/") for _ in range(LIMIT + 2)]
    assert {(reply.status, *left(reply)) for reply in replies} == {(200, str(LIMIT), str(LIMIT))}
    assert time.time() + 58 <= int(replies[0].headers["X-RateLimit-Reset"]) <= time.time() + 61


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (rate_limits, sign_in_attempts):
        monkeypatch.setattr(module, "PATIENCE_S", 1.0)


@pytest.mark.usefixtures("impatient")
async def test_a_redis_that_hangs_holds_up_one_request_and_is_noticed_when_it_is_back(
    visitor: Client, bob: Client, settings: Settings
) -> None:
    assert left(await bob.get("/api/auths/")) == (str(LIMIT), str(LIMIT - 1))
    client = connect(settings.redis_url)
    redis_id = (await client.info("server"))["process_id"]
    await client.aclose()
    os.kill(redis_id, signal.SIGSTOP)
    try:
        began = time.monotonic()
        replies = [await bob.get("/api/auths/") for _ in range(2 * LIMIT)]
        assert {(reply.status, left(reply)) for reply in replies} == {(200, (str(LIMIT), str(LIMIT)))}
        signed_in = await visitor.post("/api/auths/signin", {"email": "bob@example.com", "password": "correct horse battery"})
        assert (signed_in.status, time.monotonic() - began < 2 * LIMIT) == (200, True)  # one wait a request would be as long
    finally:
        os.kill(redis_id, signal.SIGCONT)

    async def counted() -> bool:
        return left(await bob.get("/api/auths/"))[1] != str(LIMIT)

    await until(counted, "it is back")


async def test_a_redis_that_is_away_stops_no_request(bob: Client, app: Any) -> None:
    app[SERVICES].rate_limiter._scripts = Scripts(connect("redis://127.0.0.1:1/0"), patience_s=0)
    replies = [await bob.get("/api/auths/") for _ in range(LIMIT + 1)]
    assert {(reply.status, *left(reply)) for reply in replies} == {(200, str(LIMIT), str(LIMIT))}


async def test_an_administrator_sets_the_limits_while_it_runs(ada: Client, bob: Client) -> None:
    before = {"requests_per_minute": LIMIT, "uploads_per_minute": 3_000, "admins_limited": False, "anonymous_requests_per_minute": 60}
    assert (await ada.get(CONFIG)).body == before
    assert (await ada.post(CONFIG, {"requests_per_minute": 2})).body == {**before, "requests_per_minute": 2}
    assert [(await bob.get("/api/auths/")).status for _ in range(3)] == [200, 200, 429]
    assert (await ada.post(CONFIG, {"requests_per_minute": None})).body == {**before, "requests_per_minute": None}
    reply = await bob.get("/api/auths/")
    assert (reply.status, "X-RateLimit-Limit" in reply.headers) == (200, False)


async def test_administrators_may_be_limited_too(ada: Client) -> None:
    await ada.post(CONFIG, {"admins_limited": True})
    assert [(await ada.get("/api/auths/")).status for _ in range(LIMIT + 1)] == [200] * LIMIT + [429]


@pytest.mark.parametrize("wrong", [{"requests_per_minute": 0}, {"requests_per_minute": "many"}, {"admins_limited": None}])
async def test_a_limit_that_is_none_is_refused(ada: Client, wrong: dict[str, Any]) -> None:
    reply = await ada.post(CONFIG, wrong)
    assert (reply.status, next(iter(wrong)) in reply.body["detail"]) == (400, True)
    assert (await ada.get(CONFIG)).body["requests_per_minute"] == LIMIT


async def test_nobody_else_sees_or_sets_them(bob: Client) -> None:
    assert (await bob.get(CONFIG)).status == 403
    assert (await bob.post(CONFIG, {"requests_per_minute": 1})).status == 403


class TestStrangers:
    """Those who come without a token, counted by their address."""

    SIGN_IN = ("/api/auths/signin", {"email": "nobody@example.com", "password": "wrong"})

    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return msgspec.structs.replace(settings, anonymous_rate_limit_per_minute=2, trusted_proxies=("127.0.0.1",))

    async def test_are_limited_together_over_all_open_routes(self, visitor: Client) -> None:
        replies = [await visitor.post(*self.SIGN_IN), await visitor.post("/api/auths/signup", {}), await visitor.post(*self.SIGN_IN)]
        assert [(reply.status, left(reply)) for reply in replies] == [(401, ("2", "1")), (400, ("2", "0")), (429, ("2", "0"))]
        assert 0 < int(replies[-1].headers["Retry-After"]) <= 60
        assert {(await visitor.get(path)).status for path in ("/health", "/nothing")} == {200, 404}

    async def test_are_told_apart_by_address_and_by_what_one_customer_has(self, visitor: Client) -> None:
        async def status(address: str) -> int:
            return (await visitor.post("/api/auths/signup", {}, headers={"X-Forwarded-For": address})).status

        assert [await status(f"203.0.113.{last}") for last in (1, 1, 1, 2)] == [400, 400, 429, 400]
        assert [await status(f"2001:db8:0:{net}::{last}") for net, last in ((1, 1), (1, 2), (1, 3), (2, 1))] == [400, 400, 429, 400]

    async def test_are_limited_on_graphql_too(self, visitor: Client) -> None:
        query = 'mutation { signIn(email: "nobody@example.com", password: "wrong") { token } }'
        kind = {"Content-Type": "application/json"}
        replies = [await visitor.post("/graphql", {"query": query}, headers=kind) for _ in range(3)]
        codes = [reply.body["errors"][0]["extensions"]["code"] for reply in replies]
        assert codes == ["unauthenticated", "unauthenticated", "rate_limit_exceeded"]
        assert (await visitor.post(*self.SIGN_IN)).status == 429

    async def test_are_limited_where_they_knock_at_sockets(self, visitor: Client) -> None:
        client, refusals = socketio.AsyncClient(reconnection=False), list[Any]()
        client.on("connect_error", refusals.append)
        for count in range(1, 4):
            with pytest.raises(socketio.exceptions.ConnectionError):
                await client.connect(visitor.url, auth={"token": "none"}, transports=["websocket"], wait_timeout=20)
            await until(lambda count=count: len(refusals) == count, "the refusal is told")  # type: ignore[misc]
            await client.disconnect()
        assert [refusal["data"]["code"] for refusal in refusals] == ["unauthenticated", "unauthenticated", "rate_limit_exceeded"]

    async def test_are_not_limited_where_an_administrator_says_so(self, visitor: Client, app: web.Application) -> None:
        rules = app[SERVICES].rate_limiter._rules
        app[SERVICES].rate_limiter._rules = lambda: msgspec.structs.replace(rules(), anonymous_requests_per_minute=None)
        assert [(await visitor.post("/api/auths/signup", {})).status for _ in range(4)] == [400] * 4


class TestTwoProcesses:
    """Two web processes over one Redis and one store."""

    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return msgspec.structs.replace(settings, rate_limit_per_minute=100)

    @pytest.fixture
    def apps(self, settings: Settings) -> list[web.Application]:
        """The third one is to be started later, with another default."""
        return [*(create_app(settings) for _ in range(2)), create_app(msgspec.structs.replace(settings, rate_limit_per_minute=9))]

    @pytest.fixture
    async def urls(self, apps: list[web.Application]) -> AsyncIterator[AsyncIterator[str]]:
        async with AsyncExitStack() as stack:
            yield (await _serve(app, stack) for app in apps)

    async def test_never_let_101_of_many_racing_requests_through(self, urls: AsyncIterator[str], bob: Client) -> None:
        addresses = [await anext(urls), await anext(urls)]
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=40)) as session:

            async def ask(url: str) -> int:
                async with session.get(f"{url}/api/auths/", headers=bob.headers) as response:
                    return response.status

            statuses = await asyncio.gather(*(ask(addresses[number % 2]) for number in range(150)))
        assert (statuses.count(200), statuses.count(429)) == (100, 50)

    async def test_both_know_a_new_limit_within_a_second_and_a_third_after_a_restart(
        self, urls: AsyncIterator[str], ada: Client, bob: Client
    ) -> None:
        first, second = [Client(await anext(urls), bob.session, bob.user, bob.token) for _ in range(2)]
        assert {left(await client.get("/api/auths/"))[0] for client in (first, second)} == {"100"}
        await Client(first.url, ada.session, ada.user, ada.token).post(CONFIG, {"requests_per_minute": 70})
        assert left(await first.get("/api/auths/"))[0] == "70"

        async def known() -> bool:
            return left(await second.get("/api/auths/"))[0] == "70"

        await until(known, "the other process knows it", timeout_s=1)
        third = Client(await anext(urls), bob.session, bob.user, bob.token)
        assert left(await third.get("/api/auths/"))[0] == "70"


async def _serve(app: web.Application, stack: AsyncExitStack) -> str:
    runner = Runner(app, shutdown_timeout=1)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return f"http://127.0.0.1:{runner.addresses[0][1]}"
