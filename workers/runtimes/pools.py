"""What each pool's process works with. Only the GPU pool imports the model runtime."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from core.errors import SettingsError
from core.jobs import CALL_FUNCTION, KINDS, PARSE
from core.logging import get_logger
from core.models.catalog import Model
from core.models.numerics import Numerics
from core.models.pools import Pool
from core.settings import Settings
from pipelines.chat import Generator
from pipelines.embedding import Embedder
from pipelines.fetching.fetcher import Fetcher
from pipelines.pulls.puller import Puller
from pipelines.reranking import Reranker
from pipelines.upstreams.upstreams import Upstreams
from pipelines.web_search.page_texts import PageTexts
from pipelines.web_search.searcher import Searcher
from workers.actors.parsing import LIMITS
from workers.actors.web_searches import PAGE_LIMITS, PAGES_AT_A_TIME
from workers.assembling import PoolWork
from workers.children import Children
from workers.opened_sandbox import OpenedSandbox

if TYPE_CHECKING:
    from gpu.engine import Engine
    from gpu.sources import ModelSource
    from workers.runtimes.local import LocalModels
    from workers.runtimes.local_embedder import LocalEmbedder

log = get_logger()


def work_of(pool: Pool, settings: Settings, on_failure: Callable[[str], None] | None = None) -> PoolWork:
    """A pool's work; for the GPU pool this loads the models.

    ``on_failure`` is called with the reason when a local model or its device has failed for good, once for each, on a thread of its own,
    before those that wait for it get EngineFailed. Only another process can go on.
    """
    if pool is Pool.GPU:
        return _load(settings, on_failure)
    return RelayWork(settings) if pool is Pool.RELAY else CpuWork(settings)


class CpuWork:
    """Models are pulled, files are read, the web is searched and functions are called here.

    It takes part in putting back what dead workers left, too.
    """

    generator: Generator | None = None
    embedder: Embedder | None = None
    reranker: Reranker | None = None
    tokenizers: Mapping[str, bytes] = {}
    device = "cpu"

    def __init__(self, settings: Settings) -> None:
        self.puller: Puller | None = Puller(settings)
        self.searcher: Searcher | None = Searcher(settings)
        self.page_texts: PageTexts | None = PageTexts(Fetcher(settings), Children(PAGE_LIMITS, PAGES_AT_A_TIME))
        self.children: Children | None = Children(LIMITS, KINDS[PARSE].places or 1)
        self.sandbox: OpenedSandbox | None = OpenedSandbox(KINDS[CALL_FUNCTION].places or 1)

    async def open(self) -> None:
        """Make the client sessions, and begin to open the sandbox."""
        if self.sandbox:
            self.sandbox.open()
        if self.searcher:
            await self.searcher.open()
        if self.page_texts:
            await self.page_texts.open()

    async def models(self) -> tuple[str, Sequence[Model], bool]:
        """None."""
        return "", (), True

    def numerics(self) -> dict[str, Numerics]:
        """None."""
        return {}


class RelayWork:
    """Upstreams."""

    reranker: Reranker | None = None
    puller: Puller | None = None
    searcher: Searcher | None = None
    page_texts: PageTexts | None = None
    children: Children | None = None
    sandbox: OpenedSandbox | None = None
    tokenizers: Mapping[str, bytes] = {}
    device = "network"

    def __init__(self, settings: Settings) -> None:
        self._upstreams = Upstreams(settings)
        self._source = ",".join(("relay", *settings.openai_base_urls, *settings.ollama_base_urls))
        self.generator: Generator | None = self._upstreams
        self.embedder: Embedder | None = self._upstreams

    async def open(self) -> None:
        """Make the client session."""
        await self._upstreams.open()

    async def models(self) -> tuple[str, Sequence[Model], bool]:
        """What the upstreams serve now."""
        models = await self._upstreams.refresh()
        for url, why in self._upstreams.errors.items():
            log.warning("upstream", url=url, why=why)
        return self._source, models, not self._upstreams.errors

    def numerics(self) -> dict[str, Numerics]:
        """None that we know of."""
        return {}


class GpuWork:
    """Models of this machine's device."""

    puller: Puller | None = None
    searcher: Searcher | None = None
    page_texts: PageTexts | None = None
    children: Children | None = None
    sandbox: OpenedSandbox | None = None

    def __init__(self, local: "LocalModels", embedder: "LocalEmbedder | None", reranker: Reranker | None, device: str) -> None:
        self.generator: Generator | None = local
        self.embedder: Embedder | None = embedder
        self.reranker = reranker
        self.tokenizers: Mapping[str, bytes] = {embedder.model().id: embedder.tokenizer} if embedder else {}
        self._embedders = [embedder] if embedder else []
        self.device = device
        self._local = local

    async def open(self) -> None:
        """The models are loaded already."""

    async def models(self) -> tuple[str, Sequence[Model], bool]:
        """What is loaded, and what has been pulled and is loaded when it is asked."""
        models = [*await self._local.look(), *(embedder.model() for embedder in self._embedders)]
        return ",".join(("gpu", *(model.id for model in models))), models, True

    def numerics(self) -> dict[str, Numerics]:
        """Of what is loaded, and of the embedder, also before that."""
        return self._local.numerics() | {embedder.model().id: embedder.numerics() for embedder in self._embedders}


def _load(settings: Settings, on_failure: Callable[[str], None] | None) -> GpuWork:
    from gpu.sources import embedder, find_pulled, sources  # noqa: PLC0415 - only this pool's processes have this package

    found, embedding = sources(settings), embedder()  # what is not there is told before torch is imported
    from gpu.device_lock import DeviceLock  # noqa: PLC0415 - only this pool's processes have this package
    from gpu.embedder import Embedder as VectorEngine  # noqa: PLC0415 - imports torch
    from gpu.engine import load  # noqa: PLC0415 - imports torch
    from gpu.reranker import Reranker as CrossEncoder  # noqa: PLC0415 - only this pool's processes have this package
    from workers.runtimes.local import LocalModels  # noqa: PLC0415 - imports torch
    from workers.runtimes.local_embedder import LocalEmbedder  # noqa: PLC0415 - imports torch

    device_lock = DeviceLock()

    def loaded(source: "ModelSource") -> "Engine":
        engine = load(
            source, settings, progress=lambda line: log.info("loading", step=line), device_lock=device_lock, on_failure=on_failure
        )
        log.info("numerics", model=source.id, continued=engine.continued, fingerprint=engine.fingerprint, text=engine.numerics)
        return engine

    engines = {source.id: loaded(source) for source in found}
    local = LocalModels(engines, look=lambda: find_pulled(settings), load=loaded)
    vectors = LocalEmbedder(VectorEngine(embedding, settings, device_lock=device_lock, on_failure=on_failure)) if embedding else None
    reranker: Reranker | None = None
    if settings.reranking_model:
        try:
            reranker = CrossEncoder(settings, device_lock=device_lock, on_failure=on_failure)
        except SettingsError as error:
            log.error("no re-ranking", why=error.detail)  # noqa: TRY400 - an operator's mistake, and all else can be served
    return GpuWork(local, vectors, reranker, ", ".join(sorted({engine.device for engine in engines.values()})) or settings.device)
