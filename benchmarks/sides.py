"""A program of the benchmarks in two builds' processes, each asked by lines: numbers there, a line of JSON back."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from benchmarks.checkouts import Checkout


class Side:
    """One build's program, ready."""

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
        message = f"The program ended with exit code {await self._process.wait()}."
        raise AssertionError(message)

    async def ask(self, first: int, second: int) -> float:
        """What the program gives for two numbers; which, its own description says."""
        assert self._process.stdin
        self._process.stdin.write(f"{first} {second}\n".encode())
        return (await self.told())["gave"]


@asynccontextmanager
async def running(program: Path, checkout: Checkout, *words: str) -> AsyncIterator[Side]:
    """A build with a program of the benchmarks, which says how many threads it has when it is ready."""
    pipe, environment = asyncio.subprocess.PIPE, await checkout.environment()
    command = checkout.command("-P", str(program), *words)
    process = await asyncio.create_subprocess_exec(*command, env=environment, stdin=pipe, stdout=pipe)
    try:
        side = Side(process)
        side.threads = int((await side.told())["threads"])
        yield side
    finally:
        process.kill()
        await process.wait()
