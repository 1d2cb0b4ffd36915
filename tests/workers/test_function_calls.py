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


async def started(stack: Stack) -> Running:
    """A worker whose sandbox is open."""
    worker = await stack.start_worker("cpu")
    await until(lambda: b"sandbox" in worker.log.read_bytes(), "it is open or refused")
    if b"no sandbox" in worker.log.read_bytes():
        pytest.skip("this machine gives no sandbox")
    return worker


async def one_that_calls(workers: tuple[Running, Running], idle: list[set[int]]) -> Running:
    """Which of them has more processes than when it was idle."""
    return await until(lambda: next((one for one, few in zip(workers, idle, strict=True) if below(one.pid) > few), None), "a call runs")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_a_call_whose_worker_ends_is_made_by_another_and_nothing_is_left(stack: Stack, ada: Client, number: signal.Signals) -> None:
    workers = await started(stack), await started(stack)
    idle = [below(worker.pid) for worker in workers]
    path = await created(ada, SLOW)
    asked: asyncio.Task[Any] = asyncio.create_task(ada.post(path, {}))
    worker = await one_that_calls(workers, idle)
    everything = below(worker.pid)
    await worker.kill(number)
    assert not asked.done()
    reply = await asked
    assert (reply.status, reply.body["result"], reply.body["error"]) == (200, 7, None)
    await until(lambda: all_gone(everything), "all of the worker's processes have ended")


async def test_without_a_worker_the_answer_says_what_to_start(stack: Stack, ada: Client) -> None:
    del stack
    reply = await ada.post(await created(ada, SLOW), {})
    assert reply.status == 503
    assert reply.body["detail"].endswith("Start one: penstock worker cpu.")
