"""A pool whose workers are gone: its models are listed no more, and whoever asks for one is told at once what is wanting."""

import asyncio
import json
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from core.services.models.catalogue import LATELY_S
from tests.polling import until
from tests.stack import Stack
from tests.survival.conftest import User, relay_stack
from tests.survival.readers import read_sse
from tests.survival.relayed import MESSAGES
from tests.upstream import Upstream

pytestmark = pytest.mark.timeout(110)

WAIT_S = 3
WANTING = "No live relay worker serves the model 'words' now"
START = "Start one: penstock worker relay."
COMPLETIONS = "/api/openai/v1/chat/completions"
ASKED: dict[str, Any] = {"model": "words", "messages": MESSAGES}


@pytest.fixture
async def relays(tmp_path: Path, upstream: Upstream) -> AsyncIterator[Stack]:
    """A stack without patience for workers."""
    async with relay_stack(tmp_path, upstream, worker_wait_s=WAIT_S) as running:
        yield running


async def listed(reader: User) -> bool:
    """Whether any model is."""
    status, models = await reader.request("GET", "/api/openai/v1/models")
    assert status == 200
    return bool(models["data"])


async def gone(reader: User) -> bool:
    return not await listed(reader)


@pytest.mark.parametrize(("number", "within_s"), [(signal.SIGTERM, 4), (signal.SIGKILL, 9)])
async def test_the_list_of_models_follows_the_registry(relays: Stack, reader: User, number: signal.Signals, within_s: int) -> None:
    worker = await relays.start_worker("relay")
    assert await until(lambda: listed(reader), "the models are listed")
    await worker.kill(number)
    await until(lambda: gone(reader), "no model is listed", timeout_s=within_s)


async def test_whoever_asks_a_model_that_has_just_lost_its_worker_waits_visibly_and_not_for_long(relays: Stack, reader: User) -> None:
    worker = await relays.start_worker("relay")
    await until(lambda: listed(reader), "the models are listed")
    await worker.kill(signal.SIGTERM)
    await until(lambda: gone(reader), "no model is listed")
    chat_id, generation_id = await reader.ask_model("words", "hi")
    headers = {"Authorization": f"Bearer {reader.token}"}
    async with (
        aiohttp.ClientSession() as session,
        session.post(relays.url + COMPLETIONS, json={**ASKED, "stream": True}, headers=headers) as response,
    ):
        async with asyncio.timeout(WAIT_S - 1):
            assert (await response.content.readline()).decode().strip() == f": {WANTING}. {START}"
        *_, last = [line.decode().strip() async for line in response.content if line.strip()]
    assert json.loads(last.removeprefix("data: "))["error"]["message"] == f"{WANTING}, and none came within {WAIT_S} seconds. {START}"
    assert (await read_sse(relays.url, reader.token, generation_id)).end == "failed"

    async def told() -> Any:
        return (await reader.messages(chat_id))[-1].get("error")

    error = await until(told, "the chat's record has ended, too")
    assert error["content"].endswith(START)


async def test_whoever_asks_a_model_without_workers_is_told_at_once_what_to_start(relays: Stack, reader: User) -> None:
    worker = await relays.start_worker("relay")
    await until(lambda: listed(reader), "the models are listed")
    await worker.kill(signal.SIGTERM)

    async def refused() -> bool:
        began = time.monotonic()
        status, answer = await reader.request("POST", COMPLETIONS, ASKED)
        assert (status, START in answer["detail"]) == (503, True)
        return answer["detail"] == f"{WANTING}. {START}" and time.monotonic() - began < WAIT_S - 1

    await until(refused, "it is refused at once", timeout_s=LATELY_S + 2 * WAIT_S)
