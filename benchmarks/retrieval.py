"""What retrieval finds, by words, by vectors and by both, on both vector stores: ``python -m benchmarks retrieval``.

Three collections, cut and embedded as the product does it, each question asked with the product's own defaults; a figure is nDCG@10 by
trec_eval, a passage counts for what it is a part of. *Python's FAQ*: a heading that asks something is the question, the section below it
is what is looked for, among all pages of the documentation; sections of the FAQ are read without these headings, so that a question is not
found by its own words. *WordNet*: what is looked for is an entry, which has words and sentences with them, by the definition of its
meaning, which the entry has not. *Lee*: news, by each of which those are looked for that people found at least half as like it as it is
itself; their ratings are the gains. A hybrid search has to find at least as much as the better one of its halves, and both stores
the same, once what Weaviate was given is on its disk. The weight of the halves was chosen on these questions.
"""

import asyncio
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytrec_eval

from benchmarks.embedding import Embedding, remembered
from benchmarks.judged import Judged, judged_collections
from benchmarks.rows import Row, show
from core.settings import Settings
from core.storage.vectors import open_vectors
from core.storage.vectors.port import POOL, Mode, Passage, Point, Query, VectorSpace, VectorStore, Visible
from tests.polling import until
from tests.servers import weaviate_grpc_url, weaviate_server

MEASURES = {"ndcg_cut_10": "nDCG@10", "recall_1": "recall@1", "recall_5": "@5", "recall_10": "@10", "recip_rank": "MRR"}
MAIN = "ndcg_cut_10"
MODES = (Mode.KEYWORD, Mode.VECTOR, Mode.HYBRID)
STORES = ("embedded", "Weaviate")
COLLECTION = "judged"
AT_ONCE = 1_000
MOST_APART = 0.005
CALL_TIMEOUT_S = 300

Figures = Mapping[str, float]


async def measure() -> AsyncGenerator[Row, None]:
    """A collection at a time, in each store."""
    async with remembered() as embedding:
        async for judged in judged_collections(embedding.model.tokenizer, embedding.model.context_length):
            found: dict[tuple[str, Mode], Figures] = {}
            for store in STORES:
                async with _filled(store, embedding, judged) as (vectors, space):
                    for mode in MODES:
                        found[store, mode] = await _ask(vectors, space, embedding, judged, mode)
                        best = max(found[store, half][MAIN] for half in MODES[:2]) if mode is Mode.HYBRID else None
                        yield _row(judged, f"{store}, {mode}", found[store, mode], best)
            apart = {(mode, name): abs(found[STORES[0], mode][name] - found[STORES[1], mode][name]) for mode in MODES for name in MEASURES}
            mode, name = max(apart, key=lambda place: apart[place])
            note = f"{MEASURES[name].removeprefix('@')} of {mode} search is the one farthest apart"
            yield Row(what=f"{judged.name}, both stores apart at most", measured=apart[mode, name], at_most=MOST_APART, note=note)


def _row(judged: Judged, how: str, figures: Figures, best: float | None) -> Row:
    others = " / ".join(f"{figures[name]:.3f}" for name in MEASURES if name != MAIN)
    note = f"recall@1, @5, @10, MRR: {others}; {len(judged.questions)} questions, {len(judged.parts)} passages"
    return Row(what=f"{judged.name}, {how}, nDCG@10", measured=figures[MAIN], at_least=best, note=note)


@asynccontextmanager
async def _filled(store: str, embedding: Embedding, judged: Judged) -> AsyncIterator[tuple[VectorStore, VectorSpace]]:
    """A store of its own that holds the collection, and where."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        data.mkdir()
        if store == STORES[0]:
            async with _open(Settings(data_dir=data), embedding, judged) as opened:
                yield opened
            return
        with weaviate_server(Path(folder), PERSISTENCE_MEMTABLES_FLUSH_DIRTY_AFTER_SECONDS="1") as url:
            settings = Settings(data_dir=data, weaviate_url=url, weaviate_grpc_url=weaviate_grpc_url(url))
            async with _open(settings, embedding, judged) as opened:
                await until(lambda: _is_written(Path(folder)), "Weaviate has written its words to disk", timeout_s=CALL_TIMEOUT_S)
                yield opened


def _is_written(folder: Path) -> bool:
    """Among what is only in its memory Weaviate's keyword search passes the best over."""
    return not [*folder.rglob("property_words_searchable/*.wal")]


@asynccontextmanager
async def _open(settings: Settings, embedding: Embedding, judged: Judged) -> AsyncIterator[tuple[VectorStore, VectorSpace]]:
    space = VectorSpace(model=embedding.model.model_id, dimensions=embedding.model.dimensions)
    async with open_vectors(settings) as vectors:
        await vectors.setup(space)
        for start in range(0, len(judged.parts), AT_ONCE):
            parts = judged.parts[start : start + AT_ONCE]
            made = await embedding.vectors([part.text for part in parts])
            passages = [
                Passage(id=str(place), collection=COLLECTION, file=part.file, generation=1, position=place, text=part.text)
                for place, part in enumerate(parts, start)
            ]
            await vectors.upsert(space, [Point(passage=passage, vector=one) for passage, one in zip(passages, made, strict=True)])
        yield vectors, space


async def _ask(vectors: VectorStore, space: VectorSpace, embedding: Embedding, judged: Judged, mode: Mode) -> Figures:
    """The figures of all questions together."""
    visible: Visible = {COLLECTION: {part.file: 1 for part in judged.parts}}
    asked = await embedding.vectors(list(judged.questions.values()))
    run: dict[str, dict[str, float]] = {}
    for (key, text), vector in zip(judged.questions.items(), asked, strict=True):
        hits = await vectors.search(space, Query(visible=visible, mode=mode, vector=vector, text=text, limit=POOL))
        items = dict.fromkeys(judged.parts[int(hit.passage.id)].item for hit in hits)
        items.pop(judged.itself.get(key, ""), None)
        run[key] = {item: 1.0 / place for place, item in enumerate(items, start=1)}  # trec_eval puts equal ones in an order of its own
    return _mean(judged, run)


def _mean(judged: Judged, run: Mapping[str, Mapping[str, float]]) -> Figures:
    evaluator = pytrec_eval.RelevanceEvaluator(judged.gains, {"ndcg_cut.10", "recall.1,5,10", "recip_rank"}, judged.relevant)
    found: Sequence[Mapping[str, float]] = list(evaluator.evaluate(run).values())
    assert len(found) == len(judged.questions)
    return {name: sum(figures[name] for figures in found) / len(found) for name in MEASURES}


if __name__ == "__main__":
    asyncio.run(show(measure()))
