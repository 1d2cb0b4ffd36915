"""Keyword search of the embedded store: processor time of questions of common words, against weighing every passage that has one of them.

By turns in one process; and whether both find the same.
"""

import itertools
import random
import statistics
import tempfile
import time
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path

import apsw
import msgspec

from benchmarks.rows import Row
from core.storage.vectors.port import POOL, Mode, Passage, Point, Query, VectorSpace, pack
from core.storage.vectors.sqlite_vec import FILE, SqliteVectors
from core.storage.vectors.sqlite_vec_search import Searcher
from core.storage.vectors.sqlite_vec_sql import Tables

PASSAGES, WORDS, VOCABULARY = 100_000, 120, 30_000
LOT = 2_000
QUESTIONS, ROUNDS, LIMIT = 12, 3, 10
SPACE = VectorSpace(model="m", dimensions=8)
FEW = (0.02, 0.1)  # each word is in so many of the passages
MANY = (0.05, 0.3)


async def measure() -> AsyncGenerator[Row, None]:
    """Questions of eight words, in two ranges of how common they are."""
    with tempfile.TemporaryDirectory() as folder:
        store = await SqliteVectors.open(Path(folder))
        for points in _corpus():
            await store.upsert(SPACE, points)
        await store.close()
        for least, most in (FEW, MANY):
            yield _measured(Path(folder) / FILE, least, most)


def _measured(file: Path, least: float, most: float) -> Row:
    connection = apsw.Connection(str(file))
    tables, draw = Tables(1), random.Random(2)  # noqa: S311 - a draw with a seed
    now, before = Searcher(), Searcher(few_rows=PASSAGES * WORDS)
    sql = f"SELECT term FROM {tables.vocabulary} WHERE doc BETWEEN ? AND ? ORDER BY term"  # noqa: S608 - a name of our own
    words = [term for (term,) in connection.execute(sql, (least * PASSAGES, most * PASSAGES))]
    ratios, spent, same, shares = list[float](), list[float](), list[bool](), list[float]()

    def search(searcher: Searcher, query: Query) -> tuple[float, list[str]]:
        began = time.thread_time()
        hits = searcher.search(connection, tables, query)
        return time.thread_time() - began, [hit.passage.id for hit in hits]

    for _ in range(QUESTIONS):
        query = Query(visible={"base": {"file": 1}}, mode=Mode.KEYWORD, text=" ".join(draw.sample(words, 8)), limit=LIMIT)
        likely, every = (search(searcher, msgspec.structs.replace(query, limit=POOL))[1] for searcher in (now, before))
        same.append(likely[:10] == every[:10])
        shares.append(len(set(likely) & set(every)) / len(every))
        pairs = [(search(now, query)[0], search(before, query)[0]) for _ in range(ROUNDS)]
        ratios.append(statistics.median(then / mine for mine, then in pairs))
        spent.append(statistics.median(mine for mine, _ in pairs))
    assert min(shares) > 0.8
    return Row(
        what=f"keyword search, 8 words that are in {least:.0%} to {most:.0%} of {PASSAGES} passages each: processor time",
        measured=statistics.median(ratios),
        at_least=1.2,
        note=f"{1000 * statistics.median(spent):.1f} ms; the ten best are the same in {sum(same)} of {QUESTIONS} questions, "
        f"and {statistics.mean(shares):.1%} of the {POOL}",
    )


def _corpus() -> Iterator[list[Point]]:
    """Words as often as Zipf has them."""
    draw = random.Random(1)  # noqa: S311 - as above
    often = list(itertools.accumulate(1 / (rank + 2.7) ** 1.07 for rank in range(VOCABULARY)))
    vocabulary = [f"w{rank}" for rank in range(VOCABULARY)]
    for start in range(0, PASSAGES, LOT):
        texts = [" ".join(draw.choices(vocabulary, cum_weights=often, k=draw.randint(WORDS // 2, WORDS * 3 // 2))) for _ in range(LOT)]
        yield [
            Point(
                passage=Passage(id=f"p{number}", collection="base", file="file", generation=1, position=number, text=text),
                vector=pack([draw.gauss(0, 1) for _ in range(SPACE.dimensions)]),
            )
            for number, text in enumerate(texts, start)
        ]
