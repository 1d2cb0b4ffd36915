"""A Redis whose memory is full: what is new is refused with words, what has begun ends, and nothing is left half written."""

import asyncio
import uuid

import pytest

from core.redis.client import connect
from tests.polling import until
from tests.stack import Stack
from tests.survival.conftest import RELAYED, User
from tests.survival.readers import Reading, read_sse

PULL = "/api/models/pull"

pytestmark = pytest.mark.timeout(120)


async def allow(stack: Stack, maxmemory: int) -> None:
    """Give Redis so many bytes; 0: as many as there are."""
    client = connect(stack.redis_url)
    await client.config_set("maxmemory", maxmemory)
    await client.aclose()


async def test_what_is_new_is_refused_with_words_and_accepted_later_under_the_same_id(relays: Stack, reader: User) -> None:
    await relays.start_worker("relay")
    chat_id, message = await reader.new_chat("words"), {"content": "hi", "id": str(uuid.uuid4())}
    await allow(relays, 1)
    completion, pull = {"model": "words", "messages": [{"role": "user", "content": "hi"}]}, {"name": "tiny/llama"}
    for path, body in (("/api/openai/v1/chat/completions", completion), (f"/api/chats/{chat_id}/messages", message), (PULL, pull)):
        status, answer = await reader.request("POST", path, body)
        assert (status, answer["detail"].split(".")[0]) == (503, "Redis is out of memory")
    assert await reader.messages(chat_id) == []
    assert [row["status"] for row in (await reader.request("GET", f"{PULL}s"))[1]] == ["failed"]  # type: ignore[index]
    await allow(relays, 0)
    sent = await reader.post(f"/api/chats/{chat_id}/messages", message)
    reading = await read_sse(relays.url, reader.token, sent["generation_id"])
    assert (reading.end, reading.text) == ("finished", await reader.text(chat_id))
    again = await reader.post(f"/api/chats/{chat_id}/messages", message)
    assert (again["generation_id"], again["answer"]["content"]) == (sent["generation_id"], reading.text)
    assert len(await reader.messages(chat_id)) == 2
    status, _ = await reader.request("POST", f"/api/chats/{chat_id}/messages", {**message, "content": "something else"})
    assert status == 409


async def test_what_has_begun_is_stopped_or_goes_on_to_its_end(relays: Stack, reader: User) -> None:
    await relays.start_worker("relay")
    asked = [await reader.ask_model(RELAYED, "hi") for _ in range(2)]
    readings = [Reading() for _ in asked]
    reading = [
        read_sse(relays.url, reader.token, generation_id, reading) for (_, generation_id), reading in zip(asked, readings, strict=True)
    ]
    ((stopped_chat, stopped), (chat, _)), (first, second) = asked, readings

    async def disturb() -> None:
        await until(lambda: first.text and second.text, "both answers are under way")
        await allow(relays, 1)
        assert (await reader.request("DELETE", f"/api/generations/{stopped}"))[0] == 200

    await asyncio.gather(disturb(), *reading)
    assert (first.end, second.end) == ("cancelled", "finished")
    assert [first.text, second.text] == [await reader.text(stopped_chat), await reader.text(chat)]
    assert len(second.text.split()) == 64


async def test_a_message_that_is_sent_several_times_at_once_is_answered_once(relays: Stack, reader: User) -> None:
    await relays.start_worker("relay")
    chat_id, message = await reader.new_chat("words"), {"content": "hi", "id": str(uuid.uuid4())}
    sent = await asyncio.gather(*(reader.post(f"/api/chats/{chat_id}/messages", message) for _ in range(10)))
    (generation_id,) = {answer["generation_id"] for answer in sent}
    assert (await read_sse(relays.url, reader.token, generation_id)).end == "finished"
    assert [said["role"] for said in await reader.messages(chat_id)] == ["user", "assistant"]
