"""Real worker processes that do not all compute the same bits: killed or told to leave in the middle of an answer."""

import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from core.events import EventLog
from core.jobs.queue import JobQueue
from core.jobs.unserved import PREFERENCE_S
from core.models.events import Delta, Started
from core.models.numerics import Continued
from core.redis.client import Scripts, connect
from tests.job_backend import BODY, new_reply
from tests.polling import until
from tests.stack import Running, Stack, stack_in
from tests.workers.counting import BEGUN, MODEL, WORDS

pytestmark = pytest.mark.timeout(120)

LEASE_MS = 500


@pytest.fixture
async def stack(tmp_path: Path) -> AsyncIterator[Stack]:
    """Redis only."""
    (tmp_path / "data").mkdir()
    async with stack_in(tmp_path, lease_ms=LEASE_MS) as running:
        await running.start_redis()
        yield running


async def started(stack: Stack, fingerprint: str) -> Running:
    """One more worker, that stands in the registry."""
    running = await stack.start(sys.executable, "-m", "tests.workers.counting", fingerprint)

    async def registered() -> bool:
        assert running.process.returncode is None, running.log.read_text()[-2000:]
        return any(worker.pid == running.pid for worker in await stack.workers())

    await until(registered, "the worker has registered", timeout_s=60)
    return running


async def taken_over(stack: Stack, number: signal.Signals, *fingerprints: str) -> tuple[list[tuple[str, Continued | None]], float]:
    """A worker begins an answer and gets a signal, the others are there.

    The fingerprint of who began and of who went on, with how well; and the seconds between the two.
    """
    redis = connect(stack.redis_url)
    log = EventLog(redis)
    first = await started(stack, fingerprints[0])
    spec = new_reply(model=MODEL)
    await JobQueue(Scripts(redis)).submit(spec, BODY)

    async def words() -> int:
        return len("".join(event.text for _, event in await log.read(spec.id) if isinstance(event, Delta)).split())

    async def complete() -> bool:
        return await words() == WORDS

    async def gone_on() -> bool:
        return len([event for _, event in await log.read(spec.id) if isinstance(event, Started)]) > 1

    async def begun() -> bool:
        return await words() == BEGUN

    await until(begun, "the answer is begun")
    for fingerprint in fingerprints[1:]:
        await started(stack, fingerprint)
    left_at = time.monotonic()
    await first.kill(number)
    await until(gone_on, "another worker goes on")
    pause_s = time.monotonic() - left_at
    await until(complete, "the answer is complete")
    starts = [(event.fingerprint, event.continued) for _, event in await log.read(spec.id) if isinstance(event, Started)]
    await redis.aclose()
    return starts, pause_s


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_a_begun_answer_goes_to_the_worker_that_computes_the_same_bits(stack: Stack, number: signal.Signals) -> None:
    starts, _ = await taken_over(stack, number, "f1", "f2", "f1", "f2")
    assert starts == [("f1", None), ("f1", "exact")]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_without_one_it_goes_to_another_that_says_so_and_nobody_waits_for_the_one_that_left(
    stack: Stack, number: signal.Signals
) -> None:
    starts, pause_s = await taken_over(stack, number, "f1", "f2")
    assert starts == [("f1", None), ("f2", "equivalent")]
    assert pause_s < PREFERENCE_S
