"""Relay workers that leave on purpose finish what they have begun, while others take what is new."""

import asyncio
import signal

import pytest

from core.models.pools import WorkerState
from tests.polling import until
from tests.stack import Stack
from tests.survival.conftest import User
from tests.survival.relayed import MESSAGES, WHOLE, disturbed_streams

pytestmark = pytest.mark.timeout(110)

STREAMS = 16


async def test_a_relay_worker_finishes_what_it_has_begun_while_another_takes_what_is_new(relays: Stack, reader: User) -> None:
    started = {worker.pid: worker for worker in [await relays.start_worker("relay"), await relays.start_worker("relay")]}
    left: list[asyncio.Task[int]] = []
    answers: list[str | None] = []

    async def disturb() -> None:
        async def registered() -> bool:
            return sum(worker.running for worker in await relays.workers()) == STREAMS

        await until(registered, "the registry knows of all streams")
        busiest = max(await relays.workers(), key=lambda worker: worker.running).pid
        left.append(asyncio.create_task(started[busiest].kill(signal.SIGTERM)))

        async def drains() -> bool:
            return any(worker.pid == busiest and worker.state is WorkerState.DRAINING for worker in await relays.workers())

        await until(drains, "the worker drains")
        answer = await reader.openai.chat.completions.create(model="words", messages=MESSAGES)
        answers.append(answer.choices[0].message.content)
        assert not left[0].done(), "what was new was to be answered while the old worker was still at it"

    assert await disturbed_streams(reader, STREAMS, disturb) == [WHOLE] * STREAMS
    assert answers == [WHOLE]
    assert await left[0] == 0
