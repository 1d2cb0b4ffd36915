"""Processor time of the whole stack when nobody asks anything: ``python -m benchmarks.idle``."""

import asyncio
import tempfile
import time
from collections.abc import AsyncGenerator
from pathlib import Path

from benchmarks.processes import family
from benchmarks.product import product
from benchmarks.rows import Row, show

SETTLE_S = 10
WATCH_S = 30


async def measure() -> AsyncGenerator[Row, None]:
    """Everything ready, and left alone."""
    with tempfile.TemporaryDirectory() as folder:
        async with product(Path(folder)) as running:
            await asyncio.sleep(SETTLE_S)
            before, began = {process.pid: process.cpu_s for process in family(running.pid)}, time.perf_counter()
            await asyncio.sleep(WATCH_S)
            used = [(process.cpu_s - before.get(process.pid, 0), process.name) for process in family(running.pid)]
            took = time.perf_counter() - began
        most = ", ".join(f"{name} {seconds / took * 100:.2f}" for seconds, name in sorted(used, reverse=True)[:4])
        share = sum(seconds for seconds, _ in used) / took * 100
        yield Row(what="idle processor time of the whole stack", measured=share, at_most=3, unit="% of a core", note=most)


if __name__ == "__main__":
    asyncio.run(show(measure()))
