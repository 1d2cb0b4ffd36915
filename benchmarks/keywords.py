"""Keyword search of the embedded store: processor time of questions of common words, against FTS5's own BM25 over the same index.

By turns in one process; and how much both find the same: FTS5 lets words that half of the passages have weigh nothing.
"""

import itertools
import random
import statistics
import tempfile
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from pathlib import Path

import apsw

from benchmarks.rows import Row
from core.storage.vectors.port import Mode, Passage, Point, Query, VectorSpace, pack
from core.storage.vectors.sqlite_vec import FILE, SqliteVectors
from core.storage.vectors.sqlite_vec_search import Searcher
from core.storage.vectors.sqlite_vec_sql import TIMES, Tables, times

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
    connection.register_fts5_function(TIMES, times)
    tables, draw, searcher = Tables(1), random.Random(2), Searcher()  # noqa: S311 - a draw with a seed
    connection.execute(f"CREATE VIRTUAL TABLE temp.vocabulary USING fts5vocab(main, {tables.words}, row)")
    words = [
        term
        for (term,) in connection.execute(
            "SELECT term FROM vocabulary WHERE doc BETWEEN ? AND ? ORDER BY term", (least * PASSAGES, most * PASSAGES)
        )
    ]
    by_itself = f"SELECT rowid FROM {tables.words} WHERE {tables.words} MATCH ? ORDER BY bm25({tables.words}) LIMIT {LIMIT}"  # noqa: S608 - a name of our own

    def ours(asked: Sequence[str]) -> list[str]:
        query = Query(visible={"base": {"file": 1}}, mode=Mode.KEYWORD, text=" ".join(asked), limit=LIMIT)
        return [hit.passage.id for hit in searcher.search(connection, tables, query)]

    def its_own(asked: Sequence[str]) -> list[str]:
        return [f"p{row - 1}" for (row,) in connection.execute(by_itself, (" OR ".join(asked),))]

    ratios, spent, first, shares = list[float](), list[float](), list[float](), list[float]()
    for _ in range(QUESTIONS):
        asked = draw.sample(words, 8)
        began, found = _timed(ours, asked)
        first.append(began)
        shares.append(len({*found} & {*its_own(asked)}) / LIMIT)
        pairs = [(_timed(ours, asked)[0], _timed(its_own, asked)[0]) for _ in range(ROUNDS)]
        ratios.append(statistics.median(then / mine for mine, then in pairs))
        spent.append(statistics.median(mine for mine, _ in pairs))
    return Row(
        what=f"keyword search, 8 words that are in {least:.0%} to {most:.0%} of {PASSAGES} passages each: processor time",
        measured=statistics.median(ratios),
        at_least=5,
        note=f"{1000 * statistics.median(spent):.1f} ms, the first time {1000 * statistics.median(first):.1f} ms; "
        f"{statistics.mean(shares):.1%} of the {LIMIT} best are the same",
    )


def _timed(search: Callable[[Sequence[str]], list[str]], asked: Sequence[str]) -> tuple[float, list[str]]:
    began = time.thread_time()
    found = search(asked)
    return time.thread_time() - began, found


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
