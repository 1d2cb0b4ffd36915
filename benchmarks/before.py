"""The generation engine against another build's: ``python -m benchmarks before --before CHECKOUT``.

Each in a process of its own, with the environment and the number of threads that its build chooses by itself; asked by turns.
"""

import asyncio
import statistics
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import msgspec

from benchmarks.checkouts import HERE, Checkout
from benchmarks.quiet import quietly
from benchmarks.rows import Row

ROUNDS = 7
COUNTS = (1, 8, 32)
PROGRAM = Path(__file__).with_name("engine_process.py")


class EngineProcess:
    """A build's engine, loaded."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.pid = process.pid
        self.threads = 0

    async def told(self) -> dict[str, float]:
        """The next line of what it says."""
        assert self._process.stdout
        while line := await self._process.stdout.readline():
            if line.startswith(b"{"):
                return msgspec.json.decode(line, type=dict[str, float])
        message = f"The engine ended with exit code {await self._process.wait()}."
        raise AssertionError(message)

    async def tokens_per_second(self, first: int, count: int) -> float:
        """What the program gives for two numbers. Of the engine's: the first question, which nobody has asked yet, and how many at once."""
        assert self._process.stdin
        self._process.stdin.write(f"{first} {count}\n".encode())
        return (await self.told())["tokens_per_second"]


async def measure(before: Checkout) -> AsyncGenerator[Row, None]:
    """Interleaved rounds; the median of the rounds' ratios."""
    with tempfile.TemporaryDirectory() as folder:
        async with running(PROGRAM, HERE, Path(folder) / "now") as now, running(PROGRAM, before, Path(folder) / "before") as then:
            sides = now, then
            for side in sides:
                await side.tokens_per_second(0, 1)
            for count in COUNTS:
                rounds, others = [], 0.0
                for turn in range(ROUNDS):
                    first = 1000 * count + 100 * turn  # no round asks what another has asked, unless it was disturbed
                    order = sides if turn % 2 else sides[::-1]
                    made = {side: await quietly(side.pid, partial(side.tokens_per_second, first, count)) for side in order}
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


@asynccontextmanager
async def running(program: Path, checkout: Checkout, folder: Path) -> AsyncIterator[EngineProcess]:
    """A build with a program of the benchmarks, which says how many threads it has when it is ready."""
    pipe, environment = asyncio.subprocess.PIPE, await checkout.environment()
    words = checkout.command("-P", str(program), str(folder))
    process = await asyncio.create_subprocess_exec(*words, env=environment, stdin=pipe, stdout=pipe)
    try:
        engine = EngineProcess(process)
        engine.threads = int((await engine.told())["threads"])
        yield engine
    finally:
        process.kill()
        await process.wait()
