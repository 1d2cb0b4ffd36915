import asyncio
from typing import Any

import msgspec

from core.models.events import Waiting
from core.models.jobs import JobStatus
from core.redis.keys import job_key
from core.services import Services
from tests.api.conftest import Client
from tests.api.manual_jobs import ManualJob, claim_next, pop_job

ASK: dict[str, Any] = {"model": "echo", "messages": [{"role": "user", "content": "hi"}], "stream": True}
PIECES = [f"piece {number} " for number in range(40)]


def path_of(generation_id: str) -> str:
    return f"/api/generations/{generation_id}/events"


async def started(bob: Client, services: Services) -> tuple[str, ManualJob]:
    """A chat's answer, being made."""
    chat_id = await bob.chat()
    sent = await bob.post(f"/api/chats/{chat_id}/messages", {"content": "hi"})
    return sent.body["generation_id"], await claim_next(services)


async def events_until(client: Client, generation_id: str, after: str, enough: int) -> tuple[list[dict[str, Any]], str]:
    """What is read before the reader hangs up (after some events) or the stream ends, and the last id."""
    seen: list[dict[str, Any]] = []
    async with client.session.get(client.url + path_of(generation_id), headers={**client.headers, "Last-Event-ID": after}) as response:
        assert response.status == 200, await response.read()
        while len(seen) < enough and (line := (await response.content.readline()).decode()):
            name, _, value = line.rstrip("\n").partition(": ")
            if name == "id":
                after = value
            elif name == "data":
                seen.append(msgspec.json.decode(value))
    return seen, after


async def test_events_are_the_logs_without_what_is_not_the_clients_business(bob: Client, services: Services) -> None:
    generation_id, making = await started(bob, services)
    await making.say("a")
    await making.finish()
    async with bob.session.get(bob.url + path_of(generation_id), headers=bob.headers) as response:
        text = (await response.read()).decode()
    assert text == (
        'retry: 500\nevent: started\nid: 1-1\ndata: {"type":"started","model":"echo","attempt":1}\n\n'
        'event: delta\nid: 1-2\ndata: {"type":"delta","text":"a"}\n\n'
        'event: choice_finished\nid: 1-3\ndata: {"type":"choice_finished"}\n\n'
        'event: finished\nid: 1-4\ndata: {"type":"finished","usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}}\n\n'
    )


async def test_what_an_answer_waits_for_is_an_event(bob: Client, services: Services) -> None:
    generation_id, making = await started(bob, services)
    await making.append(Waiting(detail="No worker serves it now."))
    seen, last = await events_until(bob, generation_id, "0-0", 2)
    assert (seen[1], last) == ({"type": "waiting", "detail": "No worker serves it now."}, "1-2")
    await making.finish()


async def test_a_reader_that_breaks_off_again_and_again_gets_every_character_once(bob: Client, services: Services) -> None:
    generation_id, making = await started(bob, services)

    async def write() -> None:
        for piece in PIECES:
            await making.say(piece)
            await asyncio.sleep(0)
        await making.finish()

    writing = asyncio.create_task(write())
    seen: list[dict[str, Any]] = []
    after, enough = "0-0", 1
    while not seen or seen[-1]["type"] != "finished":
        more, after = await events_until(bob, generation_id, after, enough)
        seen += more
        enough = enough % 5 + 1
    await writing
    assert "".join(event.get("text", "") for event in seen) == "".join(PIECES)


async def test_a_broken_completion_is_resumed_by_the_ids_of_its_chunks(bob: Client, services: Services) -> None:
    async with bob.session.post(f"{bob.url}/v1/chat/completions", json=ASK, headers=bob.headers) as response:
        making = await claim_next(services)
        await making.say("one ", "two ")
        text, last = "", ""
        while "two" not in text:
            line = (await response.content.readline()).decode().rstrip("\n")
            last = line[4:] if line.startswith("id: ") else last
            if line.startswith("data: {"):
                text += msgspec.json.decode(line[6:])["choices"][0]["delta"].get("content", "")
        generation_id = response.headers["X-Generation-Id"]
        response.close()
    await making.say("three")
    await making.finish()
    seen, _ = await events_until(bob, generation_id, last, 100)
    assert text + "".join(event.get("text", "") for event in seen) == "one two three"


async def test_after_the_end_there_is_204_so_that_browsers_do_not_come_again(bob: Client, services: Services) -> None:
    generation_id, making = await started(bob, services)
    await making.say("a")
    await making.finish()
    assert (await bob.get(path_of(generation_id) + "?after=1-4")).status == 204
    assert (await bob.get(path_of(generation_id) + "?after=9-9")).status == 204


async def test_an_id_that_is_none_is_refused(bob: Client, services: Services) -> None:
    generation_id, _ = await started(bob, services)
    for after in ("x", "1-2-3", "-1", "99999999999999999999-1"):
        for field, reply in (
            ("Last-Event-ID", await bob.get(path_of(generation_id), headers={"Last-Event-ID": after})),
            ("after", await bob.get(path_of(generation_id), params={"after": after})),
        ):
            assert reply.status == 400, after
            assert reply.body["detail"].startswith(f"{field}: ")


async def test_a_stranger_neither_hears_nor_stops_an_answer(bob: Client, eve: Client, ada: Client, services: Services) -> None:
    generation_id, _ = await started(bob, services)
    for stranger in (eve, ada):
        absent = await stranger.get(path_of("no-such-id"))
        for reply in (await stranger.get(path_of(generation_id)), await stranger.delete(f"/api/generations/{generation_id}")):
            assert (reply.status, reply.body) == (404, absent.body)
    assert await services.redis.hget(job_key(generation_id), "cancel") is None


async def test_a_strangers_plain_completion_is_not_there_either(bob: Client, eve: Client, services: Services) -> None:
    asked = asyncio.create_task(bob.post("/v1/chat/completions", ASK | {"stream": False}))
    making = await claim_next(services)
    assert (await eve.get(path_of(making.claim.spec.id))).status == 404
    await making.finish()
    assert (await asked).status == 200


async def test_stopping_reaches_the_worker_and_may_be_repeated(bob: Client, services: Services) -> None:
    generation_id, making = await started(bob, services)
    for _ in range(2):
        reply = await bob.delete(f"/api/generations/{generation_id}")
        assert (reply.status, reply.body) == (200, {"id": generation_id, "stopped": True})
    assert await services.redis.hget(job_key(generation_id), "cancel") == b"1"
    await making.finish()
    assert (await bob.delete(f"/api/generations/{generation_id}")).status == 200


async def test_an_answer_that_still_waits_is_stopped_at_once(bob: Client, services: Services) -> None:
    chat_id = await bob.chat()
    sent = await bob.post(f"/api/chats/{chat_id}/messages", {"content": "hi"})
    await pop_job(services)
    await bob.delete(f"/api/generations/{sent.body['generation_id']}")
    seen, _ = await events_until(bob, sent.body["generation_id"], "0-0", 100)
    assert [event["type"] for event in seen] == [JobStatus.CANCELLED]
    stored = (await bob.get(f"/api/chats/{chat_id}")).body["chat"]["messages"][1]
    assert (stored["done"], stored["stopped"]) == (True, True)
