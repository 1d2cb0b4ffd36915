"""What takes long does not hold the event loop; what does not is not worth the way to a thread."""

import asyncio
from collections.abc import Callable, Sequence
from typing import TypeVar

OFF_LOOP_BYTES = 262_144
AT_ONCE = 256

S = TypeVar("S")
T = TypeVar("T")


async def offload(size: int, work: Callable[..., T], *given: object) -> T:
    """``work(*given)``, on a thread if the JSON that it is about has more than some bytes. Raises what it raises."""
    return work(*given) if size < OFF_LOOP_BYTES else await asyncio.to_thread(work, *given)


async def map_in_turns(work: Callable[[S], T], items: Sequence[S]) -> list[T]:
    """``work`` of each item, which is short; others get their turn after some of many."""
    found: list[T] = []
    for start in range(0, len(items), AT_ONCE):
        if start:
            await asyncio.sleep(0)
        found += map(work, items[start : start + AT_ONCE])
    return found
