"""The passages of some documents, embedded with nothing else to do: ``python -m benchmarks.ingestion_alone PATHS SECONDS``.

PATHS: a line each. SECONDS: what ingesting took for each file, against which it is held.
"""

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks import children
from benchmarks.rows import Row

ROUNDS = 3
TEXTS_AT_ONCE, REQUESTS_AT_ONCE = 64, 2


def _measured(paths: list[Path], seconds_each: float) -> Iterator[Row]:
    from core.models.knowledge import Chunking  # noqa: PLC0415 - after the environment is made
    from core.settings import Settings  # noqa: PLC0415
    from gpu.device_lock import DeviceLock  # noqa: PLC0415
    from gpu.embedder import Embedder  # noqa: PLC0415
    from gpu.shares import Share  # noqa: PLC0415
    from gpu.sources import embedder  # noqa: PLC0415
    from pipelines import ingestion  # noqa: PLC0415
    from pipelines.parsing import parse  # noqa: PLC0415

    source = embedder()
    assert source, "the embedding model is not installed"
    with tempfile.TemporaryDirectory() as folder:
        made = Embedder(source, Settings(data_dir=Path(folder), device="cpu"), device_lock=DeviceLock())
        texts = [
            chunk.text for path in paths for chunk in ingestion.cut(parse(path, path.name), made.tokenizer, Chunking(), made.context_length)
        ]

        async def all_texts() -> tuple[float, int]:
            limit, began = asyncio.Semaphore(REQUESTS_AT_ONCE), time.perf_counter()

            async def some(start: int) -> int:
                async with limit:
                    _, tokens = await made.embed(texts[start : start + TEXTS_AT_ONCE], Share.BULK)
                    return tokens

            tokens = sum(await asyncio.gather(*map(some, range(0, len(texts), TEXTS_AT_ONCE))))
            return time.perf_counter() - began, tokens

        rounds = [asyncio.run(all_texts()) for _ in range(ROUNDS)]
    seconds = statistics.median(took for took, _ in rounds)
    alone, whole = len(paths) / seconds, 1 / seconds_each
    note = f"{whole:.2f} / {alone:.2f} files/s; {len(texts) / len(paths):.1f} passages a file, {rounds[0][1] / seconds:.0f} tokens/s alone"
    yield Row(what="files a second, against embedding their passages alone", measured=whole / alone, at_least=0.8, note=note)


if __name__ == "__main__":
    children.tell(_measured(list(map(Path, sys.argv[1].split("\n"))), float(sys.argv[2])))
