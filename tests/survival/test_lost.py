"""A Redis that has lost all: whoever reads or waits for something hears of it."""

from typing import Any

import pytest

from core.redis.client import connect
from core.services.reconciliation import LOST
from tests.polling import until
from tests.stack import Stack
from tests.survival.conftest import User
from tests.survival.counted import begun_answer, start_counting
from tests.workers.counting import BEGUN, MODEL

pytestmark = pytest.mark.timeout(110)

READER_S = 12
RECORD_S = 60


async def test_a_reader_whose_job_redis_has_lost_hears_that_it_failed_and_so_says_the_chat(stack: Stack, user: User) -> None:
    await start_counting(stack, MODEL)
    chat_id, _, reading, reads = await begun_answer(user)
    client = connect(stack.redis_url)
    await client.flushall()
    await client.aclose()
    await until(reads.done, "the reader hears the end", timeout_s=READER_S)
    assert (reading.end, len(reading.text.split())) == ("failed", BEGUN)

    async def error() -> Any:
        return (await user.messages(chat_id))[-1].get("error")

    assert (await until(error, "the chat's record has ended, too", timeout_s=RECORD_S))["content"] == LOST.detail
    _, _, again, _ = await begun_answer(user)
    assert again.end is None
