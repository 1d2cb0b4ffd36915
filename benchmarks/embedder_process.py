"""An embedder in a process of its own, any build's: ``python -P embedder_process.py FOLDER``, run in that build's checkout.

It imports nothing of the benchmarks, for the other build has others. Each line on standard input, ``THREADS COUNT``, has it embed that
many texts on so many threads; a line of JSON says how many tokens a second that made.
"""

import asyncio
import json
import random
import sys
import time
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

LONGEST = 250  # tokens; the shortest text has one, and all lengths are equally many
WORDS = range(2_000, 30_000)  # ids of ordinary words


async def tokens_per_second(embedder: Any, count: int) -> float:
    """Of one request with so many texts."""
    numbers = random.Random(0)  # noqa: S311 - the same texts in every round
    texts = [numbers.choices(WORDS, k=numbers.randint(1, LONGEST)) for _ in range(count)]
    began = time.perf_counter()
    _, tokens = await embedder.embed(texts)
    return float(tokens / (time.perf_counter() - began))


def main() -> None:
    """The starter's embedding model, once for each number of threads that is asked for."""
    from core.settings import Settings  # noqa: PLC0415 - of the build that runs
    from gpu.embedder import Embedder  # noqa: PLC0415
    from gpu.sources import embedder  # noqa: PLC0415

    name, kind = ("device_lock", "DeviceLock") if find_spec("gpu.device_lock") else ("turns", "Turns")  # as other builds call it
    lock: Any = {name: getattr(import_module(f"gpu.{name}"), kind)()}
    source = embedder()
    assert source, "the embedding model is not installed"
    made: dict[int, Any] = {}
    _say({"threads": 0})
    for line in sys.stdin:
        threads, count = map(int, line.split())
        if threads not in made:
            made[threads] = Embedder(source, Settings(data_dir=Path(sys.argv[1]), device="cpu"), **lock, threads=threads)
        _say({"gave": asyncio.run(tokens_per_second(made[threads], count))})


def _say(told: dict[str, float]) -> None:
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
