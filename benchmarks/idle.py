"""Processor time of the whole stack when nobody asks anything: ``python -m benchmarks.idle``."""

import asyncio
import os
import signal
import sys
import tempfile
import time
from collections.abc import AsyncGenerator
from pathlib import Path

import aiohttp

from benchmarks.rows import Row, show
from tests.polling import until
from tests.stack import stack_in

SETTLE_S = 10
WATCH_S = 30


async def measure() -> AsyncGenerator[Row, None]:
    """``penstock up`` with its own Redis and the starter model, left alone."""
    with tempfile.TemporaryDirectory() as folder:
        async with stack_in(Path(folder), redis_url="") as stack:
            up = await stack.start(sys.executable, "-m", "penstock", "up")
            async with aiohttp.ClientSession() as session:

                async def ready() -> bool:
                    assert up.process.returncode is None, up.log.read_text()[-2000:]
                    try:
                        async with session.get(f"{stack.url}/ready") as response:
                            return response.status == 200
                    except (aiohttp.ClientError, OSError):
                        return False

                await until(ready, "everything is ready", timeout_s=180)
            await asyncio.sleep(SETTLE_S)
            before, began = _cpu_seconds(up.pid), time.perf_counter()
            await asyncio.sleep(WATCH_S)
            used = {name: seconds - before.get(name, 0) for name, seconds in _cpu_seconds(up.pid).items()}
            share = sum(used.values()) / (time.perf_counter() - began) * 100
            most = ", ".join(
                f"{name[1]} {seconds / WATCH_S * 100:.2f}" for name, seconds in sorted(used.items(), key=lambda item: -item[1])[:4]
            )
            await up.kill(signal.SIGTERM)
            yield Row(what="idle processor time of the whole stack", measured=share, at_most=3, unit="% of a core", note=most)


def _cpu_seconds(root: int) -> dict[tuple[int, str], float]:
    """Seconds used so far by a process and all below it, by (pid, name)."""
    ticks = os.sysconf("SC_CLK_TCK")
    parents: dict[int, int] = {}
    found: dict[int, tuple[str, float]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            name, _, rest = (folder / "stat").read_text().partition("(")[2].rpartition(")")
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        fields = rest.split()
        pid = int(folder.name)
        parents[pid] = int(fields[1])
        found[pid] = (
            " ".join(word.rpartition("/")[2] for word in command.split()[1:4]) or name,
            (int(fields[11]) + int(fields[12])) / ticks,
        )
    family = {root}
    while more := {pid for pid, parent in parents.items() if parent in family} - family:
        family |= more
    return {(pid, found[pid][0]): found[pid][1] for pid in family if pid in found}


if __name__ == "__main__":
    asyncio.run(show(measure()))
