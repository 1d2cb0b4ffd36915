"""Passages that have something to do with a question, out of knowledge bases that its asker may read."""

import asyncio
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Annotated, Any

import msgspec

from core.errors import BadRequest, ContextTooLong, Unavailable
from core.models.knowledge import KnowledgeBase
from core.models.sources import MAX_BASES
from core.models.users import Principal
from core.services.embeddings import Embeddings
from core.services.knowledge.bases import KnowledgeBases
from core.services.knowledge.visibility import Visibility
from core.services.models.models import Models
from core.services.reranking import UNSET, Reranking
from core.storage.vectors import LazyVectors
from core.storage.vectors.port import POOL, VECTOR_WEIGHT, Hit, Mode, Query, VectorSpace
from core.storage.vectors.ranking import DECIMALS


class Retrieve(msgspec.Struct, frozen=True, kw_only=True):
    """``top_k``: how many passages at most. ``min_score``: 0 to 1; what scores less is left out. ``vector_weight``: in hybrid mode.

    ``file_ids``: only out of these; ``filter``: only out of files whose metadata says this. ``rerank``: whether what is found is put in a
    cross-encoder's order; where it is left out: if one is set up.
    """

    query: Annotated[str, msgspec.Meta(min_length=1, max_length=32_768)]
    knowledge_ids: Annotated[list[str], msgspec.Meta(min_length=1, max_length=MAX_BASES)]
    top_k: Annotated[int, msgspec.Meta(ge=1, le=POOL)] = 5
    mode: Mode = Mode.HYBRID
    min_score: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.0
    vector_weight: Annotated[float, msgspec.Meta(ge=0, le=1)] = VECTOR_WEIGHT
    file_ids: list[str] | None = None
    filter: dict[str, Any] | None = None
    rerank: bool | None = None


class Retrieved(msgspec.Struct, frozen=True, kw_only=True):
    """What was found, the best first. ``reranked``: whether order and scores are a cross-encoder's."""

    hits: Sequence[Hit]
    reranked: bool = False


class Retrieval:
    """The service of passages."""

    def __init__(
        self,
        *,
        bases: KnowledgeBases,
        visibility: Visibility,
        embeddings: Embeddings,
        models: Models,
        vectors: LazyVectors,
        reranking: Reranking,
    ) -> None:
        self._bases = bases
        self._visibility = visibility
        self._embeddings = embeddings
        self._models = models
        self._vectors = vectors
        self._reranking = reranking

    async def query(self, principal: Principal, command: Retrieve) -> Retrieved:
        """The best first, out of all bases together.

        Raises Forbidden for a base that is not there or not theirs to read, BadRequest, and Unavailable where the base's embedding model is
        not served, the vector store is away, or re-ranking is asked for and not set up.
        """
        if not command.query.strip():
            message = "query: must have something to look for."
            raise BadRequest(message, param="query")
        return await self.search(principal.id, await self._bases.get_several(principal, command.knowledge_ids), command)

    async def search(self, owner: str, bases: Sequence[KnowledgeBase], command: Retrieve) -> Retrieved:
        """The same out of bases of which it is known that ``owner`` may read them. Raises BadRequest, Unavailable."""
        reranks = self._reranking.is_set if command.rerank is None else command.rerank
        if reranks and not self._reranking.is_set:
            raise Unavailable(UNSET, param="rerank")
        asked = msgspec.structs.replace(command, top_k=POOL, min_score=0.0) if reranks else command
        by_model: dict[str, list[KnowledgeBase]] = {}
        for base in bases:
            if base.embedding_model and base.dimensions:
                by_model.setdefault(base.embedding_model, []).append(base)
        found = await asyncio.gather(*(self._of_model(owner, asked, model, some) for model, some in by_model.items()))
        if reranks and (hits := await self._rerank(owner, command, found)) is not None:
            return Retrieved(hits=hits, reranked=True)
        hits = sorted((hit for some in found for hit in some), key=lambda hit: (-hit.score, hit.passage.id))
        return Retrieved(hits=[hit for hit in hits if hit.score >= command.min_score][: command.top_k])

    async def _rerank(self, owner: str, command: Retrieve, found: Sequence[Sequence[Hit]]) -> Sequence[Hit] | None:
        """The first of what was found with each model, in the cross-encoder's order; None where it has none.

        What stands there more than once is compared once.
        """
        by_turns = [hit for hits in zip_longest(*found) for hit in hits if hit]
        texts = list(dict.fromkeys(hit.passage.text for hit in by_turns))[: self._reranking.candidates]
        scores = await self._reranking.score(owner, command.query, texts) if texts else None
        if scores is None:
            return None
        of_text = dict(zip(texts, scores, strict=True))
        hits = [hit for hit in by_turns if hit.passage.text in of_text]
        hits.sort(key=lambda hit: -of_text[hit.passage.text])
        scored = [Hit(passage=hit.passage, score=round(of_text[hit.passage.text], DECIMALS)) for hit in hits]
        return [hit for hit in scored if hit.score >= command.min_score][: command.top_k]

    async def _of_model(self, owner: str, command: Retrieve, model_id: str, bases: Sequence[KnowledgeBase]) -> Sequence[Hit]:
        """Out of bases with vectors of one model: only their scores can be compared with right."""
        visible: Mapping[str, Mapping[str, int]] = {
            base.id: await self._visibility.of(base, file_ids=command.file_ids, where=command.filter) for base in bases
        }
        if not any(visible.values()):
            return []
        vector = b""
        if command.mode is not Mode.KEYWORD:
            model = await self._models.for_embedding(model_id)
            try:
                vector = await self._embeddings.embed_query(owner, model, command.query)
            except ContextTooLong:
                limit = f"the {model.context_length} tokens that {model_id} takes"
                message = f"query: is longer than {limit}. Ask in fewer words, or by keyword mode."
                raise ContextTooLong(message, param="query") from None
        dimensions = len(vector) // 4 or bases[0].dimensions
        for base in bases:
            if base.dimensions != dimensions:
                message = f"{model_id} makes other vectors than those of {base.name!r}. Its owner has to index it anew."
                raise Unavailable(message)
        store = await self._vectors.open()
        query = Query(
            visible=visible,
            mode=command.mode,
            vector=vector,
            text=command.query,
            limit=command.top_k,
            min_score=command.min_score,
            vector_weight=command.vector_weight,
        )
        return await store.search(VectorSpace(model=model_id, dimensions=dimensions), query)
