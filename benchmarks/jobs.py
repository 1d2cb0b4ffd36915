"""Trivial jobs from submission to an end that is seen, against another build's: ``python -m benchmarks jobs --before CHECKOUT``.

Each build has a Redis, a worker and a reader of its own, all of them on the same cores; asked by turns.
"""

import statistics
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from benchmarks.checkouts import HERE, Checkout
from benchmarks.rows import Row
from benchmarks.sides import Side, running
from tests.stack import stack_in

ROUNDS = 5
CLIENTS = 64
JOBS = 4_000
RESTED = 100
PROGRAM = Path(__file__).with_name("jobs_process.py")


async def measure(before: Checkout) -> AsyncGenerator[Row, None]:
    """Interleaved rounds; the median of the rounds' ratios."""
    async with _side(HERE) as now, _side(before) as then:
        sides, rounds = (now, then), list[tuple[float, float]]()
        for side in sides:
            await side.ask(CLIENTS, JOBS // 4)
        for turn in range(ROUNDS):
            made = {side: await side.ask(CLIENTS, JOBS) for side in (sides if turn % 2 else sides[::-1])}
            rounds.append((made[now], made[then]))
        began = [(await now.ask(0, RESTED), await then.ask(0, RESTED)) for _ in range(ROUNDS)]
    mine, other = (statistics.median(side) for side in zip(*rounds, strict=True))
    yield Row(
        what=f"trivial jobs, submit → end seen by the reader, {CLIENTS} at once, against the build before",
        measured=statistics.median(own / their for own, their in rounds),
        at_least=2,
        note=f"{mine:.0f} / {other:.0f} jobs a second",
    )
    mine, other = (statistics.median(side) for side in zip(*began, strict=True))
    yield Row(
        what="enqueue → actor start, idle worker, median, against the build before",
        measured=statistics.median(own / their for own, their in began),
        at_most=0.5,
        note=f"{mine:.2f} / {other:.2f} ms",
    )


@asynccontextmanager
async def _side(checkout: Checkout) -> AsyncIterator[Side]:
    with tempfile.TemporaryDirectory() as folder:
        async with stack_in(Path(folder)) as stack:
            await stack.start_redis()
            await stack.start(*checkout.command("-P", str(PROGRAM), "worker", stack.redis_url))
            async with running(PROGRAM, checkout, "reader", stack.redis_url) as process:
                yield process
