"""The actor that compares passages with a question: load, compare, keep."""

import msgspec

from core.jobs.results import Results
from core.models.events import Event, Finished
from core.models.jobs import JobStatus
from core.models.reranking import RerankTask
from pipelines.reranking import Reranker
from workers.attempt import Attempt


class Rerankings:
    """What ``rerank_passages`` does. A job that another worker left is simply done again."""

    def __init__(self, *, results: Results, reranker: Reranker) -> None:
        self.results = results
        self.reranker = reranker

    def __call__(self, attempt: Attempt) -> "Reranking":
        """One attempt at a question's passages."""
        return Reranking(self, attempt)


class Reranking:
    """One question's passages."""

    keeps = False

    def __init__(self, by: Rerankings, attempt: Attempt) -> None:
        self._by = by
        self._claim = attempt.claim

    async def do(self) -> Finished:
        """Compare, and keep the scores for whoever waits for them."""
        task = msgspec.json.decode(self._claim.input, type=RerankTask)
        scores = await self._by.reranker.score(task.query, task.passages)
        await self._by.results.put(self._claim.spec.id, msgspec.json.encode(scores))
        return Finished()

    async def keep(self, status: JobStatus, last: Event) -> None:
        """Nothing more."""
