"""Rows that a child measures, whose environment is a GPU-pool worker's before torch is imported; each is a line of JSON."""

import asyncio
import sys
from collections.abc import AsyncGenerator, Iterable

import msgspec

from benchmarks.checkouts import HERE
from benchmarks.rows import Row


async def measured(module: str, *words: str) -> AsyncGenerator[Row, None]:
    """What ``python -m MODULE WORDS`` tells, as it comes."""
    command = HERE.command("-m", module, *words)
    process = await asyncio.create_subprocess_exec(*command, env=await HERE.environment(), stdout=asyncio.subprocess.PIPE)
    assert process.stdout
    async for line in process.stdout:
        if line.startswith(b"{"):
            yield msgspec.json.decode(line, type=Row)
    assert await process.wait() == 0, command


def tell(rows: Iterable[Row]) -> None:
    """In the child: each row as soon as it is measured."""
    for row in rows:
        sys.stdout.buffer.write(msgspec.json.encode(row) + b"\n")
        sys.stdout.flush()
