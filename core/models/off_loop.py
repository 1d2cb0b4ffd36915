"""What takes long is done beside the event loop; what does not is not worth the way there."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

OFF_LOOP_BYTES = 262_144

T = TypeVar("T")


async def off_loop(size: int, work: Callable[..., T], *given: object) -> T:
    """``work(*given)``, on a thread if the JSON that it is about has more than some bytes. Raises what it raises."""
    return work(*given) if size < OFF_LOOP_BYTES else await asyncio.to_thread(work, *given)
