"""Answers of the starter model taken over again and again, against the same ones undisturbed: ``python -m benchmarks.exactness``.

Prompts of 1 to 1,000 tokens; every take-over at a random token, beside random neighbours, in pieces of random size, and every step on
another number of threads.
"""

import asyncio
import random
import statistics
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path

from benchmarks import children
from benchmarks.rows import Row, show
from tests.gpu.questions import QUESTIONS

TIMES = 1_000
PROMPTS = 60
LONGEST = 1_000  # tokens; as many prompts are between 1 and 10 tokens long as between 100 and 1,000
THREADS = (1, 2, 3)
LOOKS = 5


async def measure() -> AsyncGenerator[Row, None]:
    """Measured in a child."""
    with tempfile.TemporaryDirectory() as folder:
        async for row in children.measured("benchmarks.exactness", folder):
            yield row


def _rows(folder: Path) -> Iterator[Row]:
    from gpu import devices  # noqa: PLC0415 - after the environment is made
    from gpu.llama import LlamaForward  # noqa: PLC0415
    from gpu.loading import open_model  # noqa: PLC0415
    from gpu.numerics import examine  # noqa: PLC0415
    from gpu.sources import starter  # noqa: PLC0415
    from tests.gpu.taking_over import taking_over  # noqa: PLC0415

    (source,) = starter()
    forward, words = open_model(source, device=devices.CPU, threads=THREADS, cache_dir=folder, progress=lambda _: None)
    assert isinstance(forward, LlamaForward), forward.numerics.text
    looks = [examine(forward, source.id, folder / str(turn), (devices.threads(), devices.cores())) for turn in range(LOOKS)]
    seconds = [found.seconds for found in looks]
    note = ", ".join(f"{each:.2f}" for each in seconds)
    yield Row(
        what="self-check when a worker loads the starter model", measured=statistics.median(seconds), at_most=0.5, unit="s", note=note
    )
    forward.cores = None  # it has the numbers of threads that we give it
    dice = random.Random(TIMES)  # noqa: S311 - the same draws every time
    lengths = [round(LONGEST ** (place / (PROMPTS - 1))) for place in range(PROMPTS)]
    told = words.tokenizer.encode(" ".join(dice.choices(QUESTIONS, k=1_000))).ids
    prompts = [told[start : start + length] for start, length in ((dice.randrange(len(told) - LONGEST), length) for length in lengths)]
    found = Counter(taken.exact for taken in taking_over(forward, words.tokenizer, prompts, times=TIMES, threads=THREADS))
    assert found.total() == TIMES
    note = f"prompts of {min(lengths)} to {max(lengths)} tokens, {THREADS[0]} to {THREADS[-1]} threads"
    yield Row(what=f"take-overs with equal logits, bit for bit, of {TIMES}", measured=found[True], at_least=TIMES, note=note)


def main() -> None:
    """As a child: what it measures in the folder that it is given. Else a table."""
    if sys.argv[1:]:
        children.tell(_rows(Path(sys.argv[1])))
    else:
        asyncio.run(show(measure()))


if __name__ == "__main__":
    main()
