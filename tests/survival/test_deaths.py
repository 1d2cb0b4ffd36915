"""Workers that die by kill -9: what is kept of their answers, and what becomes of the jobs that they held."""

import asyncio
from functools import partial

import pytest

from tests.polling import until
from tests.stack import Running, Stack
from tests.survival.conftest import User
from tests.survival.counted import COUNTED, begun_answer, job_fields, start_counting
from tests.workers.counting import BEGUN, MODEL
from workers.process import FATAL

pytestmark = pytest.mark.timeout(110)

JOBS = 9
DEATHS = 4


async def waits(stack: Stack, generation_id: str) -> bool:
    return await job_fields(stack, generation_id, "state") == [b"queued"]


async def has_something_in_hand(stack: Stack, worker: Running) -> bool:
    return any(alive.pid == worker.pid and alive.running for alive in await stack.workers())


@pytest.mark.parametrize("known", [False, True])
async def test_what_the_reader_saw_is_stored_when_an_answer_is_stopped_after_its_only_workers_death(
    stack: Stack, user: User, *, known: bool
) -> None:
    """``known``: that it is dead, before the answer is stopped."""
    worker = await start_counting(stack, MODEL)
    chat_id, generation_id, reading, reads = await begun_answer(user)
    await worker.kill()
    if known:
        await until(partial(waits, stack, generation_id), "it waits again")
    assert (await user.request("DELETE", f"/api/generations/{generation_id}"))[0] == 200
    await reads
    assert (reading.end, len(reading.text.split())) == ("cancelled", BEGUN)

    async def done() -> bool:
        return bool((await user.messages(chat_id))[-1].get("done"))

    await until(done, "the chat's record has ended, too")
    assert await user.text(chat_id) == reading.text


async def test_all_jobs_of_workers_that_are_killed_again_and_again_finish(stack: Stack, user: User) -> None:
    async def ask() -> str | None:
        answer = await user.openai.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "Count."}])
        return answer.choices[0].message.content

    worker = await start_counting(stack, MODEL, "--leaves-at", "0")
    asking = [asyncio.create_task(ask()) for _ in range(JOBS)]
    for death in range(DEATHS):
        await until(partial(has_something_in_hand, stack, worker), "the worker has something in hand")
        await worker.kill()
        worker = await start_counting(stack, MODEL, "--leaves-at", "100" if death == DEATHS - 1 else "0")
    assert await asyncio.gather(*asking) == [COUNTED] * JOBS


async def test_whoever_takes_an_answer_over_goes_on_with_the_question_that_was_asked(stack: Stack, user: User) -> None:
    worker = await start_counting(stack, MODEL)
    chat_id, generation_id, _, reads = await begun_answer(user)
    question = (await user.messages(chat_id))[0]
    await user.post(f"/api/chats/{chat_id}/messages/{question['id']}", {"content": "Sing."})
    await worker.kill()
    await start_counting(stack, MODEL, "--repeats")
    reading = await reads
    assert (reading.end, reading.text) == ("finished", f"{COUNTED}Count.")
    assert [message["content"] for message in await user.messages(chat_id)] == ["Sing.", reading.text]
    assert await job_fields(stack, generation_id, "epoch", "deaths") == [b"2", b"0"]


async def test_a_worker_whose_device_fails_hands_everything_back_and_goes(stack: Stack, user: User) -> None:
    broken = await start_counting(stack, MODEL, "--breaks")
    _, generation_id, reading, reads = await begun_answer(user)
    assert await asyncio.wait_for(broken.process.wait(), 20) == FATAL
    assert "the device has fallen off the bus" in broken.log.read_text()
    assert await job_fields(stack, generation_id, "state", "deaths") == [b"queued", b"0"]
    assert await stack.workers() == []
    await start_counting(stack, MODEL)
    await reads
    assert (reading.end, reading.text) == ("finished", COUNTED)
