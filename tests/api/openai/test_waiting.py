"""An answer that nobody can make yet, and one whose tokens nobody has counted."""

import asyncio
from typing import Any

import openai

from core.models.events import Waiting
from core.services import Services
from tests.api.conftest import Client
from tests.api.manual_jobs import claim_next
from tests.api.openai.test_completions import ASK, PATHS, chunks_in, lines_of

WANTING = "No worker serves it now. Start one: penstock worker gpu."


async def test_what_a_stream_waits_for_is_a_comment_that_comes_at_once(bob: Client, services: Services) -> None:
    async with bob.session.post(bob.url + PATHS[0], json=ASK | {"stream": True}, headers=bob.headers) as response:
        making = await claim_next(services)
        await making.append(Waiting(detail=WANTING))
        while (line := (await response.content.readline()).decode()) != f": {WANTING}\n":
            assert line.startswith(":") or line == "\n", line
        await making.say("ok")
        await making.finish()
        lines = await lines_of(response)
    assert [chunk["choices"][0]["delta"] for chunk in chunks_in(lines)] == [{"role": "assistant", "content": "ok"}, {}]
    assert lines[-2:] == ["data: [DONE]", ""]


async def test_the_openai_sdk_passes_over_what_is_waited_for(bob: Client, services: Services) -> None:
    async with openai.AsyncOpenAI(base_url=f"{bob.url}/v1", api_key=bob.token, max_retries=0) as client:
        streamed = asyncio.create_task(client.chat.completions.create(**ASK, stream=True))
        asked = asyncio.create_task(client.chat.completions.create(**ASK))
        for _ in range(2):
            making = await claim_next(services)
            await making.append(Waiting(detail=WANTING))
            await making.say("ok")
            await making.finish()
        said = [chunk.choices[0].delta.content async for chunk in await streamed]
        assert (said, (await asked).choices[0].message.content) == (["ok", None], "ok")


async def test_an_answer_whose_usage_nobody_knows_has_none_and_is_complete(bob: Client, services: Services) -> None:
    body: dict[str, Any] = ASK | {"stream": True, "stream_options": {"include_usage": True}}
    asked = asyncio.create_task(bob.post(PATHS[0], ASK))
    async with bob.session.post(bob.url + PATHS[0], json=body, headers=bob.headers) as response:
        for _ in range(2):
            making = await claim_next(services)
            await making.say("all")
            await making.finish(usage=None)
        lines = await lines_of(response)
    chunks = chunks_in(lines)
    assert [(chunk["usage"], chunk["choices"][0]["finish_reason"]) for chunk in chunks] == [(None, None), (None, "stop")]
    assert lines[-2] == "data: [DONE]"
    whole = await asked
    assert (whole.status, whole.body["choices"][0]["finish_reason"], "usage" in whole.body) == (200, "stop", False)


async def test_a_chats_answer_whose_usage_nobody_knows_is_kept_without_one(bob: Client, services: Services) -> None:
    chat_id = await bob.chat()
    await bob.post(f"/api/chats/{chat_id}/messages", {"content": "hi"})
    making = await claim_next(services)
    await making.say("all")
    await making.finish(usage=None)
    stored = (await bob.get(f"/api/chats/{chat_id}")).body["chat"]["messages"][1]
    assert (stored["content"], stored["done"], "usage" in stored) == ("all", True, False)
