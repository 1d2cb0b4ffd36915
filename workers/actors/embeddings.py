"""The actors that make vectors: load, embed, keep."""

from core.jobs import is_bulk
from core.jobs.results import Results
from core.models.embeddings import EmbeddingSpec
from core.models.events import Event, Finished
from core.models.jobs import JobStatus
from pipelines.embedding import Embedder, embed
from workers.attempt import Attempt


class Embeddings:
    """What ``embed_texts`` and ``relay_embed`` do. A job that another worker left is simply done again."""

    def __init__(self, *, results: Results, embedder: Embedder) -> None:
        self.results = results
        self.embedder = embedder

    def __call__(self, attempt: Attempt) -> "Embedding":
        """One attempt at a request's vectors."""
        return Embedding(self, attempt)


class Embedding:
    """One request's vectors."""

    keeps = False

    def __init__(self, by: Embeddings, attempt: Attempt) -> None:
        self._by = by
        self._claim = attempt.claim

    async def do(self) -> Finished:
        """Embed, and keep the vectors for whoever waits for them."""
        served = self._claim.spec.payload_as(EmbeddingSpec).served
        vectors = await embed(served, self._claim.input, self._by.embedder, is_bulk=is_bulk(self._claim.spec.queue))
        await self._by.results.put(self._claim.spec.id, vectors.data)
        return Finished(usage=vectors.usage)

    async def keep(self, status: JobStatus, last: Event) -> None:
        """Nothing more."""
