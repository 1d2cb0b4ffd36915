"""What knowledge bases need now and then: what was lost on the way begins again, and what nothing can find any more is taken away."""

import time

from core.events import EventLog
from core.jobs.claims import Claims
from core.models.events import Failed
from core.models.knowledge import FileState, KnowledgeFile
from core.services.files.files import Files
from core.services.knowledge.indexing import Indexing, own_job_of
from core.services.knowledge.ingest_jobs import IngestJobs
from core.services.knowledge.visibility import REMOVED_S
from core.storage.knowledge import Knowledge as KnowledgeRows
from core.storage.knowledge_files import KnowledgeFiles as EntryRows
from core.storage.vectors import LazyVectors
from core.storage.vectors.port import SEARCH_S, Selection, VectorSpace

AT_ONCE = 500
STOPPED = "Indexing it was stopped before a worker had it."
YOUNG_S = 30  # longer than a submission waits for a Redis that is away


class KnowledgeUpkeep:
    """Two duties. Several at once do no harm."""

    def __init__(  # noqa: PLR0913 - each by its name, where services are wired
        self,
        *,
        rows: EntryRows,
        bases: KnowledgeRows,
        indexing: Indexing,
        jobs: IngestJobs,
        files: Files,
        claims: Claims,
        events: EventLog,
        vectors: LazyVectors,
    ) -> None:
        self._rows = rows
        self._bases = bases
        self._indexing = indexing
        self._jobs = jobs
        self._files = files
        self._claims = claims
        self._events = events
        self._vectors = vectors

    async def begin_lost(self) -> None:
        """Jobs that Redis has lost, or that were never submitted; and those that were ended while no worker had them fail."""
        for entry in (*await self._rows.unfinished(AT_ONCE), *await self._jobs.lost()):
            if time.time() - entry.updated_at < YOUNG_S:
                continue
            state = await self._claims.state(own_job_of(entry))
            if state is None:
                await self._indexing.submit(entry)
            elif state not in {"queued", "running"}:
                await self._fail(entry)

    async def _fail(self, entry: KnowledgeFile) -> None:
        """A worker that ends a job has said so in the entry before."""
        found = await self._rows.get(entry.id)
        if found and found.revision == entry.revision and found.state is entry.state:
            log = [event for _, event in await self._events.read(own_job_of(entry))]
            error = log[-1].detail if log and isinstance(log[-1], Failed) else STOPPED
            await self._rows.update(entry, state=FileState.FAILED.value, error=error, updated_at=int(time.time()))

    async def clean(self) -> None:
        """Take away passages that no query finds any more, once none that began before can be reading them."""
        for entry in await self._rows.uncleaned(AT_ONCE):
            if time.time() - entry.updated_at < SEARCH_S + 1:
                continue
            await self._clean(entry)
            await self._discard(entry)
            if not entry.removed:
                await self._rows.set_cleaned(entry)
            elif time.time() - entry.updated_at >= REMOVED_S:
                await self._rows.remove(entry.id)

    async def _discard(self, entry: KnowledgeFile) -> None:
        """Files that were sent for an entry alone, and are not needed there any more."""
        if not entry.removed and entry.state is not FileState.READY:
            return
        for file_id in (*entry.obsolete, *((entry.file_id,) if entry.removed and entry.managed else ())):
            if not await self._rows.of_file(file_id):
                await self._files.discard(file_id)
        if entry.obsolete:
            await self._rows.update(entry, obsolete=())

    async def _clean(self, entry: KnowledgeFile) -> None:
        base = None if entry.removed else await self._bases.get(entry.knowledge_id)
        wanted = (base.embedding_model, base.next_model) if base else ()
        for model, dimensions in entry.spaces.items():
            kept = entry.generations.get(model, entry.revision) if model in wanted else None
            selection = Selection(collection=entry.knowledge_id, files=(entry.id,), before=kept)
            await (await self._vectors.open()).delete(VectorSpace(model=model, dimensions=dimensions), selection)
