"""How long readers wait when the worker that answers goes: ``python -m benchmarks.survival``."""

import asyncio
import os
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from benchmarks.rows import Row, show
from tests.polling import until
from tests.stack import Stack, stack_in
from tests.survival.conftest import User
from tests.survival.readers import Reading, read_sse

ROUNDS = 5
ENOUGH = 60
QUESTION = "Write a long story about a river and a mill."

Disturbance = Callable[[], Awaitable[None]]


async def measure() -> AsyncGenerator[Row, None]:
    """The longest silence that a reader of three running answers hears, at the median of some rounds."""
    with tempfile.TemporaryDirectory() as folder:
        models = Path(folder) / "models"
        models.mkdir()
        pauses, _ = await _two_workers(models, signal.SIGKILL)
        yield _row("pause after kill -9 of the answering worker, two workers", pauses, 5000)
        pauses, gone = await _two_workers(models, signal.SIGTERM)
        yield _row("pause after SIGTERM of the answering worker, two workers", pauses, 1000)
        yield _row("from SIGTERM to the end of the process, with answers under way", gone, 1000)
        yield await _only_worker(models)


async def _two_workers(models: Path, number: signal.Signals) -> tuple[list[float], list[float]]:
    """Pauses of the answers, and how long the signalled process stayed, in ms."""
    async with _user(models) as user:
        stack = user.stack
        await stack.start_worker("gpu")
        pauses, gone = [], list[float]()
        for _ in range(ROUNDS):
            await stack.start_worker("gpu")

            async def disturb() -> None:
                pid = await until(lambda: _answering(stack), "a worker says that it answers")
                leaving = next(running for running in stack.running if running.pid == pid)
                began = time.perf_counter()
                await leaving.kill(number)
                gone.append((time.perf_counter() - began) * 1000)

            pauses.append(await _pause(user, disturb))
        return pauses, gone


async def _only_worker(models: Path) -> Row:
    async with _user(models) as user:
        await user.stack.start(sys.executable, "-m", "penstock", "worker", "gpu")
        pauses = []
        for _ in range(ROUNDS):

            async def disturb() -> None:
                os.kill(await until(lambda: _answering(user.stack), "the worker says that it answers"), signal.SIGKILL)

            await until(user.stack.workers, "the worker has registered", timeout_s=120)
            pauses.append(await _pause(user, disturb))
        return _row("pause after kill -9 of the only worker, under its supervisor", pauses, 15_000)


async def _pause(user: User, disturb: Disturbance) -> float:
    asked = [await user.ask(QUESTION, temperature=1, seed=seed, max_tokens=150) for seed in range(3)]
    readings = [Reading() for _ in asked]
    reading = [
        asyncio.create_task(read_sse(user.stack.url, user.token, generation_id, into))
        for (_, generation_id), into in zip(asked, readings, strict=True)
    ]
    await until(lambda: all(len(one.text) > ENOUGH for one in readings), "the answers are under way", timeout_s=60)
    await disturb()
    await asyncio.gather(*reading)
    return max(one.pause_s for one in readings) * 1000


async def _answering(stack: Stack) -> int:
    """The process that answers most, once one has reported that it does."""
    busiest = max(await stack.workers(), key=lambda worker: worker.running)
    return busiest.pid if busiest.running else 0


def _row(what: str, pauses: list[float], most_ms: float) -> Row:
    note = f"{len(pauses)} times, longest {max(pauses):.0f} ms"
    return Row(what=what, measured=statistics.median(pauses), at_most=most_ms, unit="ms", note=note)


@asynccontextmanager
async def _user(models: Path) -> AsyncIterator[User]:
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        data.mkdir()
        (data / "models").symlink_to(models)
        async with stack_in(Path(folder), rate_limit_per_minute=1_000_000) as stack, aiohttp.ClientSession() as session:
            yield await _signed_up(stack, session)


async def _signed_up(stack: Stack, session: aiohttp.ClientSession) -> User:
    await stack.start_redis()
    await stack.start_api()
    body = {"name": "Ada", "email": "ada@example.com", "password": "correct horse battery"}
    async with session.post(f"{stack.url}/api/auths/signup", json=body) as response:
        return User(stack, session, (await response.json())["token"])


if __name__ == "__main__":
    asyncio.run(show(measure()))
