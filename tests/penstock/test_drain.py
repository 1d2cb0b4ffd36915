"""An operator takes one worker out of a pool."""

import asyncio
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.polling import until
from tests.stack import Running, Stack, stack_in


@pytest.fixture
async def stack(tmp_path: Path) -> AsyncIterator[Stack]:
    async with stack_in(tmp_path) as made:
        await made.start_redis()
        yield made


async def drain(stack: Stack, pid: int) -> tuple[int, str]:
    """The command's exit code, and what it said."""
    command = await stack.start(sys.executable, "-m", "penstock", "drain", str(pid))
    code = await asyncio.wait_for(command.process.wait(), 60)
    return code, await asyncio.to_thread(command.log.read_text)


async def start_kept(stack: Stack) -> tuple[Running, int]:
    """A relay worker under its supervisor, and its own process id."""
    kept = await stack.start(sys.executable, "-m", "penstock", "worker", "relay")

    async def pid() -> int | None:
        return next((worker.pid for worker in await stack.workers()), None)

    return kept, await until(pid, "the worker has registered", timeout_s=60)


@pytest.mark.timeout(180)
async def test_a_worker_that_is_drained_leaves_and_is_not_started_again(stack: Stack) -> None:
    kept, pid = await start_kept(stack)
    code, said = await drain(stack, pid)
    assert (code, said.splitlines()) == (0, [f"The relay worker {pid} on {socket.gethostname()} takes nothing more.", "It has left."])
    assert await asyncio.wait_for(kept.process.wait(), 30) == 0
    assert "is not started again" in await asyncio.to_thread(kept.log.read_text)


@pytest.mark.timeout(180)
async def test_whoever_names_no_live_worker_is_told_who_is_alive(stack: Stack) -> None:
    kept, pid = await start_kept(stack)
    code, said = await drain(stack, 1)
    assert (code, said.strip()) == (
        2,
        f"penstock: No worker with process id 1 is alive on {socket.gethostname()}. Alive: relay {pid} on {socket.gethostname()}.",
    )
    assert await kept.kill(signal.SIGTERM) == 0
