"""Pages and documents of Word read by the product, against unstructured's ``partition`` as it comes: ``python -m benchmarks parsing``.

The Python documentation's tutorial, page by page, and each page as a document of Word that pandoc makes of it. Each side is a process
of its own that has read every document once before; asked by turns, in processor time. unstructured tells prose from titles by a model of
spaCy, which it downloads; where that is not installed it cuts words and sentences by rules here, which is faster: with the model the
ratio would be higher.
"""

import asyncio
import statistics
import tempfile
from collections.abc import AsyncGenerator
from pathlib import Path

import pypandoc

from benchmarks.checkouts import HERE
from benchmarks.fetched import python_documentation
from benchmarks.rows import Row, show
from benchmarks.sides import Side, running

PROGRAM = Path(__file__).with_name("parsing_process.py")
KINDS = ("html", "docx")
ROUNDS = 3
READ, WALL, MODEL = 0, 1, 2  # what the program is asked


async def measure() -> AsyncGenerator[Row, None]:
    """Interleaved rounds; the median of the rounds' ratios."""
    pages = sorted((await python_documentation()).glob("tutorial/*.html"))
    with tempfile.TemporaryDirectory() as folder:
        for page in pages:
            made = Path(folder) / page.with_suffix(".docx").name
            await asyncio.to_thread(pypandoc.convert_file, page, "docx", format="html", outputfile=made, sandbox=True)
        for kind in KINDS:
            where = str(pages[0].parent) if kind == "html" else folder
            async with running(PROGRAM, HERE, "ours", where, kind) as ours, running(PROGRAM, HERE, "theirs", where, kind) as theirs:
                yield await _compare(kind, len(pages), ours, theirs)


async def _compare(kind: str, count: int, ours: Side, theirs: Side) -> Row:
    sides = ours, theirs
    rounds, walls = [], []
    for turn in range(ROUNDS):
        took: dict[Side, float] = {}
        waited: dict[Side, float] = {}
        for side in sides if turn % 2 else sides[::-1]:
            took[side], waited[side] = await side.ask(READ, 0), await side.ask(WALL, 0)
        rounds.append((took[ours], took[theirs]))
        walls.append(waited[theirs] / waited[ours])
    mine, other = (statistics.median(side) for side in zip(*rounds, strict=True))
    model = "its model of spaCy" if await theirs.ask(MODEL, 0) else "spaCy without a model"
    return Row(
        what=f"parsing {kind}, processor time against unstructured's partition",
        measured=statistics.median(their / own for own, their in rounds),
        at_least=5.0,
        note=f"{mine:.2f} / {other:.2f} s for {count} documents, with {model}; by the clock {statistics.median(walls):.1f}",
    )


if __name__ == "__main__":
    asyncio.run(show(measure()))
