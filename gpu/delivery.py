"""From the engine's thread to event loops: one wake-up for each loop and step, however many answers grew."""

import asyncio
import contextlib

from gpu.requests import Piece

Item = Piece | Exception


class Delivery:
    """Collects what a step made; ``flush`` hands it over. Only the engine's thread calls these."""

    def __init__(self) -> None:
        self._made: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Queue[Item], Item]]] = {}

    def put(self, loop: asyncio.AbstractEventLoop, queue: asyncio.Queue[Item], item: Item) -> None:
        """Add one item for a queue that is read on ``loop``."""
        self._made.setdefault(loop, []).append((queue, item))

    def flush(self) -> None:
        """Hand over; a loop that has closed in the meantime has no readers."""
        made, self._made = self._made, {}
        for loop, items in made.items():
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(_hand_out, items)


def _hand_out(items: list[tuple[asyncio.Queue[Item], Item]]) -> None:
    for queue, item in items:
        queue.put_nowait(item)
