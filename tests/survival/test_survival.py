"""An answer goes on whatever dies: every reader sees each character once, and the text is that of an undisturbed run, byte for byte."""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable

import pytest

from core.redis.client import connect
from core.redis.keys import job_key
from gpu.kernels import targets
from tests.polling import until
from tests.stack import Running, Stack
from tests.survival.conftest import MODEL, User
from tests.survival.readers import Reading, Room, read_graphql, read_sse

pytestmark = pytest.mark.timeout(300)

LONG = {"max_tokens": 250, "logit_bias": {"2": -100}}  # never the id that ends an answer: whatever the model says, it is long enough
ASKED = (
    ("Write a long story about a river and a mill.", {**LONG, "temperature": 0}),
    ("Write a long story about a mountain.", {**LONG, "temperature": 1, "seed": 11}),
    ("List ten animals and say something about each.", {**LONG, "temperature": 1, "seed": 12, "top_p": 0.9, "presence_penalty": 0.5}),
)
ENOUGH = 60
OTHER_CODE = {"ATEN_CPU_CAPABILITY": "avx2", "MKL_ENABLE_INSTRUCTIONS": "AVX2", "ONEDNN_MAX_CPU_ISA": "AVX2", "OMP_NUM_THREADS": "2"}
UNLIKE = "tests.survival.unlike"

Disturbance = Callable[[str], Awaitable[None]]  # given the id of one of the answers


async def undisturbed(user: User) -> list[str]:
    """The three answers without any trouble, one after the other."""
    texts = []
    for question, params in ASKED:
        chat_id, generation_id = await user.ask(question, **params)
        assert (await read_sse(user.stack.url, user.token, generation_id)).end == "finished"
        texts.append(await user.text(chat_id))
    return texts


async def disturbed(user: User, disturb: Disturbance, *, rooms: bool = True, continued: str | None = None) -> list[str]:
    """The same three at once, disturbed in the middle, read on every face; what is stored at the end.

    ``continued``: what a worker has to say of how it went on with another's answers.
    """
    url, token = user.stack.url, user.token
    asked = [await user.ask(question, **params) for question, params in ASKED]
    watched = [Reading() for _ in asked]
    sse = [
        asyncio.create_task(read_sse(url, token, generation_id, reading))
        for (_, generation_id), reading in zip(asked, watched, strict=True)
    ]
    graphql = [asyncio.create_task(read_graphql(url, token, generation_id)) for _, generation_id in asked]
    heard = [Room(url, token, chat_id) for chat_id, _ in asked] if rooms else []
    for room in heard:
        await room.join()
    await until(lambda: all(len(reading.text) >= ENOUGH for reading in watched), "all answers are under way", timeout_s=60)
    assert not any(reading.end for reading in watched), "the answers were too short to be disturbed"
    await disturb(asked[0][1])
    readings: list[Reading] = await asyncio.gather(*sse, *graphql)
    stored = [await user.text(chat_id) for chat_id, _ in asked]
    assert [reading.end for reading in readings] == ["finished"] * 6
    if continued is not None:
        assert {told for reading in watched for told in reading.continued} == {continued}
    assert [reading.text for reading in readings] == [*stored, *stored]
    for room, text in zip(heard, stored, strict=False):
        await until(room.complete, "the room hears the whole answer")
        assert room.answer() == (text, text)
        await room.client.disconnect()
    return stored


async def answering(stack: Stack, generation_id: str) -> Running:
    """The process that makes an answer now. Its job says so at once; the registry, a heartbeat later, may name one that is done."""
    client = connect(stack.redis_url)
    worker_id = await client.hget(job_key(generation_id), "worker")
    await client.aclose()
    assert isinstance(worker_id, bytes), "nobody makes it"
    pid = next(worker.pid for worker in await stack.workers() if worker.id == worker_id.decode())
    return next(running for running in stack.running if running.pid == pid)


async def test_kill_9_of_the_answering_worker(stack: Stack, user: User) -> None:
    await asyncio.gather(stack.start_worker("gpu"), stack.start_worker("gpu"))
    expected = await undisturbed(user)

    async def disturb(generation_id: str) -> None:
        await (await answering(stack, generation_id)).kill()

    assert await disturbed(user, disturb, continued="exact") == expected


async def test_a_worker_on_another_processor_goes_on_exactly(stack: Stack, user: User) -> None:
    first = await stack.start_worker("gpu")
    expected = await undisturbed(user)

    async def disturb(_: str) -> None:
        await first.kill()
        await stack.start_worker("gpu", program=(UNLIKE, "older"), environment=OTHER_CODE)

    assert await disturbed(user, disturb, continued="exact") == expected
    (second,) = [worker for worker in await stack.workers() if worker.pid != first.pid]
    assert f"kernels compiled for {targets()[-1]}, " in second.numerics[MODEL].text


async def test_a_worker_that_computes_other_bits_goes_on_and_says_so(stack: Stack, user: User) -> None:
    first = await stack.start_worker("gpu")

    async def disturb(_: str) -> None:
        await first.kill()
        await stack.start_worker("gpu", program=(UNLIKE, "uncompiled"))

    texts = await disturbed(user, disturb, continued="equivalent")
    assert all(len(text) > ENOUGH for text in texts)


async def test_kill_9_of_the_only_worker_under_its_supervisor(stack: Stack, user: User) -> None:
    await stack.start(sys.executable, "-m", "penstock", "worker", "gpu")
    (worker,) = await until(stack.workers, "the worker has registered", timeout_s=60)
    expected = await undisturbed(user)

    async def disturb(_: str) -> None:
        os.kill(worker.pid, signal.SIGKILL)

    assert await disturbed(user, disturb) == expected


async def test_sigterm_hands_running_answers_over_and_the_process_ends_without_waiting_for_them(stack: Stack, user: User) -> None:
    await asyncio.gather(stack.start_worker("gpu"), stack.start_worker("gpu"))
    expected = await undisturbed(user)

    async def disturb(generation_id: str) -> None:
        assert await (await answering(stack, generation_id)).kill(signal.SIGTERM) == 0

    assert await disturbed(user, disturb, continued="exact") == expected


async def test_kill_9_of_a_web_process(stack: Stack, user: User) -> None:
    await stack.start_worker("gpu")
    expected = await undisturbed(user)

    async def disturb(_: str) -> None:
        await stack.running[1].kill()
        await stack.start_api()

    assert await disturbed(user, disturb, rooms=False) == expected


async def test_every_redis_connection_cut(stack: Stack, user: User) -> None:
    await stack.start_worker("gpu")
    expected = await undisturbed(user)

    async def disturb(_: str) -> None:
        client = connect(stack.redis_url)
        for kind in ("pubsub", "normal"):
            await client.execute_command("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")
        await client.aclose()

    assert await disturbed(user, disturb) == expected


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_a_redis_restart(stack: Stack, user: User, number: signal.Signals) -> None:
    await stack.start_worker("gpu")
    expected = await undisturbed(user)

    async def disturb(_: str) -> None:
        await stack.running[0].kill(number)
        await stack.start_redis()

    assert await disturbed(user, disturb) == expected


async def test_a_job_accepted_while_no_worker_lived_is_answered_by_the_next_one(stack: Stack, user: User) -> None:
    first = await stack.start_worker("gpu")
    await first.kill()
    chat_id, generation_id = await user.ask(ASKED[0][0], **ASKED[0][1])
    await stack.running[0].kill()
    await stack.start_redis()
    await stack.start_worker("gpu")
    reading = await read_sse(stack.url, user.token, generation_id)
    assert (reading.end, reading.text) == ("finished", await user.text(chat_id))
