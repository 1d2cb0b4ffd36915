"""The generation engine against another build's: ``python -m benchmarks before --before CHECKOUT``.

Each in a process of its own, with the environment and the number of threads that its build chooses by itself; asked by turns.
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

ROUNDS = 7
COUNTS = (1, 8, 32)
PROGRAM = Path(__file__).with_name("engine_process.py")


async def measure(before: Checkout) -> AsyncGenerator[Row, None]:
    """Interleaved rounds; the median of the rounds' ratios."""
    with tempfile.TemporaryDirectory() as folder:
        async with running(PROGRAM, HERE, str(Path(folder) / "now")) as now, running(PROGRAM, before, str(Path(folder) / "before")) as then:
            sides = now, then
            for side in sides:
                await side.ask(0, 1)
            for count in COUNTS:
                rounds, others = [], 0.0
                for turn in range(ROUNDS):
                    first = 1000 * count + 100 * turn  # no round asks what another has asked, unless it was disturbed
                    order = sides if turn % 2 else sides[::-1]
                    made = {side: await quietly(side.pid, partial(side.ask, first, count)) for side in order}
                    rounds.append((made[now].given, made[then].given))
                    others = max(others, made[now].others, made[then].others)
                mine, other = (statistics.median(side) for side in zip(*rounds, strict=True))
                threads = f"threads {now.threads} / {then.threads}"
                yield Row(
                    what=f"starter model, tokens/s at {count} requests against the build before",
                    measured=statistics.median(own / their for own, their in rounds),
                    at_least=1.0,
                    note=f"{mine:.0f} / {other:.0f} tokens/s, {threads}; others used {others:.2f} of a core at most",
                )
