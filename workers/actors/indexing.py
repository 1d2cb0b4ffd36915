"""The actor that puts files into knowledge bases: read, cut, embed, write, show."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import TypeVar

import msgspec

from core.errors import Conflict, PenstockError, Unavailable, UpstreamLimited, UpstreamTimeout
from core.logging import get_logger
from core.models.catalog import Model
from core.models.documents import DocumentRecord
from core.models.events import Event, Failed, Finished
from core.models.jobs import JobStatus
from core.models.knowledge import FileState, IndexFile, KnowledgeBase, KnowledgeFile
from core.services import Services
from core.services.embeddings import Embeddings
from core.services.files.documents import Documents
from core.services.files.files import Files
from core.services.files.reading import Reading
from core.services.knowledge.bases import KnowledgeBases
from core.services.knowledge.embedded import Embedded, EmbeddedDocument, embedded_id
from core.services.knowledge.files import KnowledgeFiles
from core.services.models.models import Models
from core.services.models.tokenizers import Tokenizers
from core.storage.vectors import LazyVectors
from core.storage.vectors.port import VectorSpace
from pipelines import chunking, ingestion
from workers.attempt import PATIENCE_S, Attempt

TEXTS_AT_ONCE = 64
REQUESTS_AT_ONCE = 2
WRITTEN_AT_ONCE = 512
PAUSE_S = 2.0
STOPPED = "Indexing it was stopped."

T = TypeVar("T")

log = get_logger()


class IndexingParts(msgspec.Struct, frozen=True, kw_only=True):
    """What ``index_file`` works with. What another worker left is done again: what is kept of it is not."""

    files: Files
    documents: Documents
    reading: Reading
    bases: KnowledgeBases
    entries: KnowledgeFiles
    embedded: Embedded
    embeddings: Embeddings
    models: Models
    tokenizers: Tokenizers
    vectors: LazyVectors

    @classmethod
    def of(cls, services: Services) -> "IndexingParts":
        """Those of a process."""
        return cls(
            files=services.files,
            documents=services.documents,
            reading=services.reading,
            bases=services.knowledge,
            entries=services.knowledge_files,
            embedded=services.embedded,
            embeddings=services.embeddings,
            models=services.models,
            tokenizers=services.tokenizers,
            vectors=services.vectors,
        )

    def __call__(self, attempt: Attempt) -> "IndexingWork":
        """One attempt at an entry."""
        return IndexingWork(self, attempt)


class IndexingWork:
    """One entry's indexing."""

    keeps = True

    def __init__(self, by: IndexingParts, attempt: Attempt) -> None:
        self._by = by
        self._wanted = attempt.claim.spec.payload_as(IndexFile)
        self._entry: KnowledgeFile | None = None
        self._reads = False
        self._waits_for: str | None = None

    async def do(self) -> Finished:
        """All of it; nothing where the entry or its base is gone, or where there is a newer revision."""
        entry = self._entry = await self._find()
        base = await self._by.bases.find(entry.knowledge_id) if entry else None
        if entry and base:
            record = await self._read(entry)
            model = await self._model(base)
            document = await self._embed(entry, base, model, record)
            if document.ids:
                await self._write(entry, base, model, document)
            await self._by.entries.publish(entry, model.id, chunks=len(document.ids), pages=record.pages)
            await self._by.entries.settle(base.id)
        return Finished()

    async def keep(self, status: JobStatus, last: Event) -> None:
        """Why it failed, in the entry's row."""
        if self._entry is None:
            self._entry = await self._find()
        if self._entry and self._reads and status is JobStatus.CANCELLED:
            await self._by.reading.stop(self._entry.file_id)
        if self._entry and not isinstance(last, Finished):
            error = last.detail if isinstance(last, Failed) else STOPPED
            await self._by.entries.set_state(self._entry, FileState.FAILED, error)
            await self._by.entries.settle(self._entry.knowledge_id)

    async def _find(self) -> KnowledgeFile | None:
        entry = await self._by.entries.find(self._wanted.entry_id)
        return entry if entry and entry.revision == self._wanted.revision and not entry.removed else None

    async def _read(self, entry: KnowledgeFile) -> DocumentRecord:
        """The file's document; where nobody has read it yet, that is waited for."""
        self._reads = True
        _, record = await self._by.reading.find(entry.file_id, lambda: self._by.entries.set_state(entry, FileState.PARSING))
        self._reads = False
        return record

    async def _model(self, base: KnowledgeBase) -> Model:
        """Whose vectors the base has, or is to have. The first file decides, where nobody has."""
        model = await self._patiently(lambda: self._by.models.for_embedding(base.next_model or base.embedding_model))
        if not base.embedding_model:
            model_id = await self._by.entries.choose_model(base, model.id)
            if model_id != model.id:
                model = await self._patiently(lambda: self._by.models.for_embedding(model_id))
        return model

    async def _embed(self, entry: KnowledgeFile, base: KnowledgeBase, model: Model, record: DocumentRecord) -> EmbeddedDocument:
        by = self._by
        await by.entries.set_state(entry, FileState.EMBEDDING)
        tokenizer = await by.tokenizers.read(model.tokenizer) if model.tokenizer else None
        way = (chunking.VERSION, model.id, model.tokenizer or "", model.context_length or 0, *msgspec.structs.astuple(base.chunking))
        kept_id = embedded_id(record.id, *way)
        if kept := await by.embedded.read(kept_id):
            return kept
        document = await by.documents.read(record)
        chunks = await asyncio.to_thread(ingestion.cut, document, tokenizer, base.chunking, model.context_length)
        ids = await asyncio.to_thread(ingestion.identify, chunks, model.id)
        known = await self._known(entry, way)
        missing = [place for place, chunk_id in enumerate(ids) if chunk_id not in known]
        made = await self._vectors(entry.user_id, model, [chunks[place].text for place in missing])
        known |= {ids[place]: vector for place, vector in zip(missing, made, strict=True)}
        vectors = await asyncio.to_thread(lambda: b"".join(known[chunk_id] for chunk_id in ids))  # of a large document many megabytes
        result = EmbeddedDocument(ids=ids, chunks=tuple(chunks), vectors=vectors)
        await by.embedded.keep(kept_id, record.id, result)
        return result

    async def _known(self, entry: KnowledgeFile, way: Sequence[object]) -> dict[str, bytes]:
        """The vectors of what stood in the entry's place before: what has not changed in it is not embedded again."""
        before = await self._by.files.find(entry.replaced_file_id) if entry.replaced_file_id else None
        record = await self._by.documents.find(before) if before else None
        kept = await self._by.embedded.read(embedded_id(record.id, *way)) if record else None
        return await asyncio.to_thread(kept.vector_of) if kept else {}

    async def _vectors(self, owner: str, model: Model, texts: Sequence[str]) -> list[bytes]:
        """In the order of the texts, some requests at a time."""
        limit = asyncio.Semaphore(REQUESTS_AT_ONCE)

        async def some(start: int) -> list[bytes]:
            async with limit:
                part = texts[start : start + TEXTS_AT_ONCE]
                made = await self._patiently(lambda: self._by.embeddings.embed_passages(owner, model, part))
                return made.rows()

        try:
            async with asyncio.TaskGroup() as group:
                parts = [group.create_task(some(start)) for start in range(0, len(texts), TEXTS_AT_ONCE)]
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None
        return [vector for part in parts for vector in part.result()]

    async def _write(self, entry: KnowledgeFile, base: KnowledgeBase, model: Model, document: EmbeddedDocument) -> None:
        size = len(document.vectors) // len(document.ids) // 4
        if base.dimensions not in {0, size} and base.embedding_model == model.id:
            message = f"{model.id} gives {size} numbers now, and this base was indexed with {base.dimensions}. Index the base anew."
            raise Conflict(message)
        space = VectorSpace(model=model.id, dimensions=size)
        await self._by.entries.note_space(entry, model.id, size)
        store = await self._by.vectors.open()
        await self._patiently(lambda: store.setup(space))
        left = ingestion.points(entry, document, WRITTEN_AT_ONCE)
        while some := await asyncio.to_thread(next, left, None):
            await self._patiently(partial(store.upsert, space, some))
        if not base.dimensions:
            await self._by.entries.set_dimensions(base.id, size)

    async def _patiently(self, do: Callable[[], Awaitable[T]]) -> T:
        """What embeds may be away for a while, or asked too much: the entry says so, and goes on. Raises Unavailable after PATIENCE_S."""
        until = time.monotonic() + PATIENCE_S
        while True:
            try:
                made = await do()
            except (Unavailable, UpstreamLimited, UpstreamTimeout) as error:
                if time.monotonic() >= until:
                    raise Unavailable(error.detail) from None
                await self._wait(error.detail)
                pause_s = error.retry_after or PAUSE_S
            else:
                await self._wait(None)
                return made
            await asyncio.sleep(min(pause_s, 10 * PAUSE_S))

    async def _wait(self, why: str | None) -> None:
        """Say in the entry's row what is wanting, or that nothing is any more, unless it says so already."""
        if why != self._waits_for and self._entry:
            self._waits_for = why
            log.info("waiting", why=why)
            with suppress(PenstockError):
                await self._by.entries.set_waiting(self._entry, why)
