"""A neighbour is away for some seconds while relayed answers are on their way: nobody has died, and every answer is whole."""

import asyncio
import signal
import sqlite3
from contextlib import closing

import pytest

from core.redis.client import connect
from core.redis.keys import job_key
from tests.polling import until
from tests.stack import Stack
from tests.survival.conftest import RELAYED, User
from tests.survival.readers import Reading, read_sse
from tests.survival.relayed import WHOLE, disturbed_streams

pytestmark = pytest.mark.timeout(110)

STORE_AWAY_S = 12  # longer than a connection waits for a lock
REDIS_AWAY_S = 3
SILENT_S = 4
STOPPED_S = 3
STREAMS = 16


async def pair(stack: Stack) -> None:
    """Two relay workers."""
    await asyncio.gather(stack.start_worker("relay"), stack.start_worker("relay"))


async def test_a_store_that_cannot_be_written_at_the_end_of_an_answer_is_waited_for(relays: Stack, reader: User) -> None:
    await pair(relays)
    chat_id, generation_id = await reader.ask_model("slow", "hi")
    reading = Reading()
    reads = asyncio.create_task(read_sse(relays.url, reader.token, generation_id, reading))
    await until(lambda: reading.text, "the answer has begun")
    with closing(sqlite3.connect(relays.folder / "data" / "penstock.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        await until(lambda: reading.text == WHOLE, "the model has ended")
        await asyncio.sleep(STORE_AWAY_S)
        assert not reads.done(), "the store was written to"
        other.execute("ROLLBACK")
    await reads
    assert (reading.end, await reader.text(chat_id)) == ("finished", WHOLE)
    redis = connect(relays.redis_url)
    assert await redis.hmget(job_key(generation_id), "epoch", "deaths") == [b"1", b"0"]
    await redis.aclose()
    assert len(await relays.workers()) == 2


async def test_a_silent_redis_costs_no_answer(relays: Stack, reader: User) -> None:
    await pair(relays)
    redis = relays.running[0].process

    async def disturb() -> None:
        redis.send_signal(signal.SIGSTOP)
        await asyncio.sleep(SILENT_S)
        redis.send_signal(signal.SIGCONT)

    assert await disturbed_streams(reader, STREAMS, disturb) == [WHOLE] * STREAMS


@pytest.mark.parametrize("model", [RELAYED, "slow"])
async def test_a_redis_that_is_away_costs_no_answer(relays: Stack, reader: User, model: str) -> None:
    """Answers of the one model go on for longer; those of the other end meanwhile."""
    await pair(relays)

    async def disturb() -> None:
        await relays.running[0].kill()
        await asyncio.sleep(REDIS_AWAY_S)
        await relays.start_redis()

    assert await disturbed_streams(reader, STREAMS, disturb, model) == [WHOLE] * STREAMS


async def test_a_worker_that_was_stopped_goes_on_with_its_answers(relays: Stack, reader: User) -> None:
    worker = (await relays.start_worker("relay")).process

    async def disturb() -> None:
        await relays.start_worker("relay")
        worker.send_signal(signal.SIGSTOP)
        await asyncio.sleep(STOPPED_S)
        worker.send_signal(signal.SIGCONT)

    assert await disturbed_streams(reader, STREAMS, disturb) == [WHOLE] * STREAMS
