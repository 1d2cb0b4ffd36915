"""Calls of functions by real workers: one that dies in the middle of a call, and what it leaves."""

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.api.conftest import Client, sign_up
from tests.pipelines.sandbox.processes import all_gone, below
from tests.polling import until
from tests.stack import Running, Stack, stack_in

SLOW = "import time\ndef f() -> int:\n    time.sleep(2)\n    return 7"


@pytest.fixture
async def stack(tmp_path: Path) -> AsyncIterator[Stack]:
    async with stack_in(tmp_path, lease_ms=500) as running:
        await running.start_redis()
        await running.start_api()
        yield running


@pytest.fixture
async def ada(stack: Stack) -> AsyncIterator[Client]:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        yield await sign_up(Client(stack.url, session), "Ada")


async def created(client: Client, content: str) -> str:
    """The path that calls it."""
    reply = await client.post("/api/functions/create", {"name": "f", "content": content})
    return f"/api/functions/{reply.body['id']}/test"


async def opened(worker: Running) -> None:
    """When its sandbox is there, or refused."""
    await until(lambda: b'"event": "sandbox"' in worker.log.read_bytes() or b"no sandbox" in worker.log.read_bytes(), "it is open")
    if b"no sandbox" in worker.log.read_bytes():
        pytest.skip("this machine gives no sandbox")


async def test_a_call_whose_worker_dies_is_made_by_another_and_nothing_is_left(stack: Stack, ada: Client) -> None:
    first = await stack.start_worker("cpu")
    await opened(first)
    idle = below(first.pid)
    asked: asyncio.Task[Any] = asyncio.create_task(ada.post(await created(ada, SLOW), {}))
    await until(lambda: below(first.pid) > idle, "the call runs")
    everything = below(first.pid)
    second = await stack.start_worker("cpu")
    assert not asked.done()
    await first.kill(signal.SIGKILL)
    reply = await asked
    assert (reply.status, reply.body["result"], reply.body["error"]) == (200, 7, None)
    await until(lambda: all_gone(everything), "all of the dead worker's have ended")
    await opened(second)


async def test_a_worker_that_is_told_to_leave_hands_its_call_back_and_leaves_nothing(stack: Stack, ada: Client) -> None:
    first = await stack.start_worker("cpu")
    await opened(first)
    idle = below(first.pid)
    asked: asyncio.Task[Any] = asyncio.create_task(ada.post(await created(ada, SLOW), {}))
    await until(lambda: below(first.pid) > idle, "the call runs")
    everything = below(first.pid)
    await stack.start_worker("cpu")
    assert await first.kill(signal.SIGTERM) == 0
    assert (await asked).body["result"] == 7
    await until(lambda: all_gone(everything), "all of it has ended")


async def test_without_a_worker_the_answer_says_what_to_start(stack: Stack, ada: Client) -> None:
    del stack
    reply = await ada.post(await created(ada, SLOW), {})
    assert reply.status == 503
    assert reply.body["detail"].endswith("Start one: penstock worker cpu.")
