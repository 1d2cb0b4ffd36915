"""``python -m tests.workers.child_owner FILE``: a process whose child spins; FILE is told the child's id. It is there to be killed."""

import asyncio
import sys

from workers.children import Children, Limits


async def own() -> None:
    async with Children(Limits(seconds=600, memory_bytes=1 << 30, output_bytes=1), 1) as children:
        await children.run("tests.workers.heavy:spin", sys.argv[1].encode())


if __name__ == "__main__":
    asyncio.run(own())
