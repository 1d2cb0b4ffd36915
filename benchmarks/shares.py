"""What a query and a chat wait for beside bulk embedding on the same device: ``python -m benchmarks.shares``.

Engine and embedder are a GPU-pool worker's, asked without a web process. A round asks when nothing else is going on, then beside 56
requests for many vectors, each asked again when it is answered; the median of the rounds' ratios.
"""

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Awaitable, Iterator
from pathlib import Path
from typing import TypeVar

import msgspec

from benchmarks import children
from benchmarks.engine_process import answer
from benchmarks.rows import Row, show

T = TypeVar("T")

BULK_REQUESTS = 56
TEXTS = 4  # of each, of some 200 tokens
CHAT_TOKENS = 40
ROUNDS, QUERIES, CHATS = 3, 30, 3
ALONE_S = 1.5
SWITCH_S = 0.0005  # as a worker's process has it
QUERY = "How do I reset my password?"
PASSAGE = "The mill stands by the river, and the people of the valley bring their corn there every autumn. " * 10


async def measure() -> AsyncGenerator[Row, None]:
    """Measured in a child."""
    with tempfile.TemporaryDirectory() as folder:
        async for row in children.measured("benchmarks.shares", folder):
            yield row


class Bench:
    """The starter's models on one device, as a worker has them."""

    def __init__(self, folder: Path) -> None:
        from core.settings import Settings  # noqa: PLC0415 - after the environment is made
        from gpu.device_lock import DeviceLock  # noqa: PLC0415
        from gpu.embedder import Embedder  # noqa: PLC0415
        from gpu.engine import load, sources  # noqa: PLC0415
        from gpu.sources import embedder  # noqa: PLC0415

        settings, lock, source = Settings(data_dir=folder, device="cpu"), DeviceLock(), embedder()
        assert source, "the embedding model is not installed"
        self.engine = load(sources(settings)[0], settings, device_lock=lock)
        self.embedder = Embedder(source, settings, device_lock=lock)
        self._bulk: list[asyncio.Task[None]] = []
        self.embedded = 0  # tokens

    def begin(self) -> None:
        """Bulk, until it is ended."""
        self._bulk = [asyncio.create_task(self._embed(number)) for number in range(BULK_REQUESTS)]

    async def end(self) -> None:
        """No bulk any more."""
        for task in self._bulk:
            task.cancel()
        await asyncio.gather(*self._bulk, return_exceptions=True)

    async def _embed(self, number: int) -> None:
        while True:
            _, tokens = await self.embedder.embed([f"{number} {place} {PASSAGE}" for place in range(TEXTS)])
            self.embedded += tokens

    async def speed(self, meanwhile: Awaitable[T]) -> tuple[float, T]:
        """How many tokens a second of bulk are embedded."""
        began, before = time.perf_counter(), self.embedded
        given = await meanwhile
        return (self.embedded - before) / (time.perf_counter() - began), given

    async def query_s(self) -> float:
        """How long a query takes, in seconds."""
        took = []
        for number in range(QUERIES):
            began = time.perf_counter()
            await self.embedder.embed([f"{QUERY} {number}"])
            took.append(time.perf_counter() - began)
            await asyncio.sleep(0.013 + number % 7 / 1000)  # in no step with the pieces
        return statistics.median(took)

    async def chat_s(self, first: int) -> float:
        """How long an answer takes, in seconds."""
        return statistics.median([(await answer(self.engine, number, CHAT_TOKENS))[-1] for number in range(first, first + CHATS)])


class Round(msgspec.Struct, frozen=True):
    """Seconds of a query and of a chat, idle and beside bulk; tokens a second of bulk alone and beside chats."""

    query: tuple[float, float]
    chat: tuple[float, float]
    bulk: tuple[float, float]


async def _round(bench: Bench, first: int) -> Round:
    query, chat = await bench.query_s(), await bench.chat_s(first)
    bench.begin()
    await bench.speed(asyncio.sleep(ALONE_S))
    alone, _ = await bench.speed(asyncio.sleep(ALONE_S))
    busy_query = await bench.query_s()
    beside, busy_chat = await bench.speed(bench.chat_s(first + CHATS))
    await bench.end()
    return Round((query, busy_query), (chat, busy_chat), (alone, beside))


def _row(what: str, pairs: list[tuple[float, float]], note: str, at_most: float | None = None) -> Row:
    idle, busy = (statistics.median(side) for side in zip(*pairs, strict=True))
    measured = statistics.median(there / here for here, there in pairs)
    return Row(what=what, measured=measured, at_most=at_most, note=note.format(busy, idle))


async def _rows(folder: Path) -> list[Row]:
    sys.setswitchinterval(SWITCH_S)
    bench = await asyncio.to_thread(Bench, folder)
    await bench.query_s()
    await bench.chat_s(0)
    rounds = [await _round(bench, 100 * (turn + 1)) for turn in range(ROUNDS)]
    beside = f"beside {BULK_REQUESTS} bulk embeddings, against idle"
    return [
        _row(f"a query {beside}", [(a * 1000, b * 1000) for a, b in (each.query for each in rounds)], "{:.1f} / {:.1f} ms", 2),
        _row(f"a chat of {CHAT_TOKENS} tokens {beside}", [each.chat for each in rounds], "{:.2f} / {:.2f} s", 2),
        _row("bulk embedding beside one chat after another, against alone", [each.bulk for each in rounds], "{:.0f} / {:.0f} tokens/s"),
    ]


def _measured(folder: Path) -> Iterator[Row]:
    yield from asyncio.run(_rows(folder))


def main() -> None:
    """As a child: what it measures in the folder that it is given. Else a table."""
    if sys.argv[1:]:
        children.tell(_measured(Path(sys.argv[1])))
    else:
        asyncio.run(show(measure()))


if __name__ == "__main__":
    main()
