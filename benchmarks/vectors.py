"""The embedder against another build's: ``python -m benchmarks vectors --before CHECKOUT``.

Each in a process of its own with the environment that its build chooses; texts of mixed lengths, embedded by turns.
"""

import statistics
import tempfile
from collections.abc import AsyncGenerator
from functools import partial
from pathlib import Path

from benchmarks.checkouts import HERE, Checkout
from benchmarks.quiet import quietly
from benchmarks.rows import Row
from benchmarks.sides import running

ROUNDS = 5
TEXTS = 200
PROGRAM = Path(__file__).with_name("embedder_process.py")


async def measure(before: Checkout) -> AsyncGenerator[Row, None]:
    """Interleaved rounds; the median of the rounds' ratios."""
    with tempfile.TemporaryDirectory() as folder:
        async with running(PROGRAM, HERE, str(Path(folder) / "now")) as now, running(PROGRAM, before, str(Path(folder) / "before")) as then:
            sides = now, then
            for threads in (1, 2):
                rounds, others = [], 0.0
                for side in sides:
                    await side.ask(threads, 2)
                for turn in range(ROUNDS):
                    order = sides if turn % 2 else sides[::-1]
                    made = {side: await quietly(side.pid, partial(side.ask, threads, TEXTS)) for side in order}
                    rounds.append((made[now].given, made[then].given))
                    others = max(others, made[now].others, made[then].others)
                mine, other = (statistics.median(side) for side in zip(*rounds, strict=True))
                yield Row(
                    what=f"embedder, tokens/s on {threads} thread{'s' * (threads > 1)} against the build before",
                    measured=statistics.median(own / their for own, their in rounds),
                    at_least=1.0,
                    note=f"{mine:.0f} / {other:.0f} tokens/s; others used {others:.2f} of a core at most",
                )
