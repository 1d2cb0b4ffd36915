"""GPU-pool workers whose models count, which costs no time to load."""

import asyncio
from typing import Any

from core.redis.client import connect
from core.redis.keys import job_key
from tests.polling import until
from tests.stack import Running, Stack
from tests.survival.conftest import User
from tests.survival.readers import Reading, read_sse
from tests.workers.counting import BEGUN, MODEL, WORDS

COUNTED = "".join(f"{number} " for number in range(WORDS))


async def start_counting(stack: Stack, model: str, *options: str, fingerprint: str = "f1") -> Running:
    """One more worker; ``options``: as tests.workers.counting reads them."""
    return await stack.start_worker(fingerprint, program=("tests.workers.counting", "--model", model, *options))


async def job_fields(stack: Stack, job_id: str, *names: str) -> list[bytes | None]:
    """Some of what Redis keeps of a job."""
    client = connect(stack.redis_url)
    found: Any = await client.hmget(job_key(job_id), names)
    await client.aclose()
    return list(found)


async def begun_answer(user: User) -> tuple[str, str, Reading, "asyncio.Task[Reading]"]:
    """An answer of BEGUN words in a chat, whose worker then says nothing more: the ids of both, and its reader."""
    chat_id, generation_id = await user.ask_model(MODEL, "Count.")
    reading = Reading()
    reads = asyncio.create_task(read_sse(user.stack.url, user.token, generation_id, reading))
    await until(lambda: len(reading.text.split()) == BEGUN, "the answer is begun")
    return chat_id, generation_id, reading, reads
