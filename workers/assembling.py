"""What a pool's process works with, and the actors that this makes."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from core.jobs import CALL_FUNCTION, EMBED, GENERATE, INDEX, PARSE, PULL, RERANK, SEARCH_WEB
from core.models.catalog import Model
from core.models.numerics import Numerics
from core.models.pools import Pool
from core.services import Services
from core.settings import Settings
from pipelines.chat import Generator
from pipelines.embedding import Embedder
from pipelines.pulls.puller import Puller
from pipelines.reranking import Reranker
from pipelines.sandbox.outcome import MIB, Limits
from pipelines.web_search.page_texts import PageTexts
from pipelines.web_search.searcher import Searcher
from workers.actors.embeddings import Embeddings
from workers.actors.functions import Functions
from workers.actors.indexing import IndexingParts
from workers.actors.parsing import Parsing
from workers.actors.passages import Passages
from workers.actors.pulls import Pulls
from workers.actors.replies import Replies
from workers.actors.reranking import Rerankings
from workers.actors.web_searches import WebSearches
from workers.attempt import Actor
from workers.children import Children
from workers.opened_sandbox import OpenedSandbox


class PoolWork(Protocol):
    """What differs between pools: how answers are made, and what with. ``tokenizers``: of embedding models, for those who count tokens."""

    generator: Generator | None
    embedder: Embedder | None
    reranker: Reranker | None
    puller: Puller | None
    searcher: Searcher | None
    page_texts: PageTexts | None
    children: Children | None
    sandbox: OpenedSandbox | None
    tokenizers: Mapping[str, bytes]
    device: str

    async def open(self) -> None:
        """On the event loop, before the first job."""

    async def models(self) -> tuple[str, Sequence[Model], bool]:
        """The part of the catalogue that this process answers for: (its name, the models, whether all is well)."""

    def numerics(self) -> dict[str, Numerics]:
        """Of the local models that are loaded, and of the embedder."""


def actors_of(pool: Pool, work: PoolWork, services: Services) -> dict[str, Actor]:
    """By their kinds."""
    actors: dict[str, Actor] = {}
    if work.generator:
        actors[GENERATE[pool]] = Replies(
            claims=services.claims,
            events=services.events,
            answers=services.answers,
            generator=work.generator,
            passages=Passages.of(services),
            calls=services.function_calls,
            rounds=services.settings.tool_rounds,
        )
    if work.embedder:
        actors[EMBED[pool]] = Embeddings(results=services.results, embedder=work.embedder)
    if work.reranker:
        actors[RERANK] = Rerankings(results=services.results, reranker=work.reranker)
    if work.puller:
        actors[PULL] = Pulls(events=services.events, pulls=services.pulls, puller=work.puller)
    if work.searcher and work.page_texts:
        actors[SEARCH_WEB] = WebSearches(results=services.results, searcher=work.searcher, page_texts=work.page_texts)
    if work.sandbox:
        actors[CALL_FUNCTION] = Functions(
            results=services.results, preparation=services.preparation, sandbox=work.sandbox, limits=limits_of(services.settings)
        )
    if work.children:
        actors[PARSE] = Parsing(files=services.files, documents=services.documents, children=work.children)
        actors[INDEX] = IndexingParts.of(services)
    return actors


def limits_of(settings: Settings) -> Limits:
    """What a call of a function may take."""
    return Limits(seconds=settings.function_timeout_s, cpu_seconds=settings.function_cpu_s, memory_bytes=settings.function_memory_mb * MIB)
