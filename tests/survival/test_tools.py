"""Tools in chats with real processes."""

import json
from pathlib import Path
from typing import Any

import pytest

from core.models.pools import Pool
from tests.api.function_calls import WEATHER
from tests.polling import until
from tests.stack import Running, Stack
from tests.survival.conftest import MODEL, User, relay_stack, signed_up
from tests.tool_models import FOUND, LOOKING
from tests.upstream import Upstream

pytestmark = pytest.mark.timeout(110)

SLOW = 'import time\n\ndef forecast(city: str, seconds: float) -> str:\n    time.sleep(seconds)\n    return f"Sun in {city}."\n'


async def asked(user: User, seconds: float) -> str:
    """A question in a new chat, for which two calls are made; the chat's id."""
    made = await user.post("/api/functions/create", {"name": "forecast", "content": SLOW})
    calls = [{"name": "forecast", "arguments": {"city": city, "seconds": seconds}} for city in ("Ulm", "Rom")]
    chat_id = await user.new_chat("calling")
    await user.post(f"/api/chats/{chat_id}/messages", {"content": json.dumps(calls), "tool_ids": [made["id"]]})
    return chat_id


async def answer(user: User, chat_id: str) -> dict[str, Any]:
    """What is stored at its end."""

    async def done() -> dict[str, Any] | None:
        message = (await user.messages(chat_id))[-1]
        return message if message.get("done") else None

    return await until(done, "it is answered", timeout_s=60)


def calls_made(worker: Running) -> int:
    """Attempts that a worker has made at calls of functions."""
    return sum("call_function" in line for line in worker.log.read_text().splitlines() if "epoch" in line)


async def test_a_relay_that_dies_while_its_calls_run_costs_none_of_them(tmp_path: Path) -> None:
    async with (
        Upstream(models=("calling",)).serving() as upstream,
        relay_stack(tmp_path, upstream) as stack,
        signed_up(stack) as user,
    ):
        cpu, relay = await stack.start_worker("cpu"), await stack.start_worker("relay")
        chat_id = await asked(user, 4)

        async def both_run() -> bool:
            return any(worker.pool is Pool.CPU and worker.running == 2 for worker in await stack.workers())

        await until(both_run, "both calls run")
        await relay.kill()
        await stack.start_worker("relay")
        message = await answer(user, chat_id)
        assert message["content"] == f"{LOOKING}\n\n{FOUND}Sun in Ulm.|Sun in Rom."
        assert [call["result"] for call in message["tool_calls"]] == ["Sun in Ulm.", "Sun in Rom."]
        assert calls_made(cpu) == 2
        assert len(upstream.seen) == 2, "each round was asked for once"


async def test_a_stop_ends_the_calls_too(tmp_path: Path) -> None:
    async with (
        Upstream(models=("calling",)).serving() as upstream,
        relay_stack(tmp_path, upstream) as stack,
        signed_up(stack) as user,
    ):
        await stack.start_worker("cpu")
        await stack.start_worker("relay")
        chat_id = await asked(user, 8)

        async def running(count: int) -> bool:
            return any(worker.pool is Pool.CPU and worker.running == count for worker in await stack.workers())

        await until(lambda: running(2), "both calls run")
        generation_id = (await user.messages(chat_id))[-1]["generation_id"]
        assert (await user.request("DELETE", f"/api/generations/{generation_id}"))[0] == 200
        message = await answer(user, chat_id)
        assert (message["stopped"], message["content"]) == (True, LOOKING)
        assert [set(call) for call in message["tool_calls"]] == [{"key", "name", "arguments"}] * 2
        await until(lambda: running(0), "no call runs", timeout_s=5)


async def test_the_starter_model_is_told_of_tools_and_answers_to_the_end(stack: Stack, user: User) -> None:
    """It may call one, well or badly, or none."""
    await stack.start_worker("gpu")
    made = await user.post("/api/functions/create", {"name": "weather", "content": WEATHER})
    answer = await user.openai.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": "What is the weather in Ulm? Use get_weather."}],
        max_tokens=48,
        temperature=0,
        extra_body={"tool_ids": [made["id"]]},
    )
    (choice,) = answer.choices
    assert choice.finish_reason in {"stop", "length"}
    assert choice.message.content
    assert not choice.message.tool_calls
    assert answer.usage
    assert answer.usage.prompt_tokens > len("You can call tools")
