"""Many files put into a base by one job: each in its place, what is there already left alone."""

import asyncio
import re
import time
from collections.abc import Iterable, Sequence

import msgspec

from core.errors import BadRequest, Conflict, Unavailable
from core.events import EventLog
from core.ids import new_id
from core.models.files import File
from core.models.ingestion import Ingest, IngestJob
from core.models.knowledge import PATH_KEY, FileState, KnowledgeBase, KnowledgeFile
from core.models.users import Principal
from core.services.files.files import Files
from core.services.knowledge.bases import KnowledgeBases
from core.services.knowledge.files import KnowledgeFiles, describe
from core.services.knowledge.indexing import Indexing
from core.services.knowledge.ingest_jobs import IngestJobs
from core.storage.ingest_jobs import IngestJobs as JobRows
from core.storage.knowledge_files import KnowledgeFiles as EntryRows

AT_ONCE = 16
ATTEMPTS = 5
NONE = 0  # no revision has this number

_CONTROLS = re.compile(r"[\x00-\x1f\x7f]")


class Ingestion:
    """Begins jobs. Begun again with the same files after whatever broke off, it goes on: nothing is done twice."""

    def __init__(  # noqa: PLR0913 - each by its name, where services are wired
        self,
        *,
        rows: EntryRows,
        jobs: JobRows,
        bases: KnowledgeBases,
        files: Files,
        entries: KnowledgeFiles,
        indexing: Indexing,
        events: EventLog,
        ingest_jobs: IngestJobs,
    ) -> None:
        self._rows = rows
        self._jobs = jobs
        self._bases = bases
        self._files = files
        self._entries = entries
        self._indexing = indexing
        self._events = events
        self._ingest_jobs = ingest_jobs

    async def start(self, principal: Principal, knowledge_id: str, command: Ingest) -> IngestJob:
        """Put files of theirs into a base, each under its path. What is there already, or on its way, is left alone.

        Raises NotFound for the base or a file, Forbidden, BadRequest for paths.
        """
        base = await self._bases.get_writable(principal, knowledge_id)
        _check_paths(command)
        files = await self._files.get_several(principal, [wanted.file_id for wanted in command.files])
        wanted = {PATH_KEY + item.path: files[item.file_id] for item in command.files}
        for _ in range(ATTEMPTS):
            known = {entry.key: entry for entry in await self._rows.of_keys(base.id, tuple(wanted))}
            left = {key: file for key, file in wanted.items() if _is_new(known.get(key), file)}
            new = {key: file for key, file in left.items() if key not in known}
            again = [(known[key], file) for key, file in left.items() if key in known]
            try:
                return await self._begin(principal, base, new, again, managed=command.managed)
            except Conflict:  # somebody else puts files under the same paths
                await asyncio.sleep(0)
        message = "Others put files under the same paths at the same time. Try again in a moment."
        raise Unavailable(message, retry_after=1)

    async def retry(self, principal: Principal, job_id: str) -> IngestJob:
        """Begin what failed in a job of theirs again, by another job. Raises NotFound, Forbidden, Conflict while it runs."""
        job = await self._ingest_jobs.get(principal, job_id)
        if not job.status.ended:
            message = "This job still runs. Wait for its end, or cancel it, and then retry what failed."
            raise Conflict(message)
        base = await self._bases.get_writable(principal, job.knowledge_id)
        return await self._begin(principal, base, {}, [(entry, None) for entry in await self._rows.of_job(job.id, FileState.FAILED)])

    async def retry_all(self, principal: Principal, knowledge_id: str) -> None:
        """Begin all that failed in a base again, by one job. Raises NotFound, Forbidden."""
        base = await self._bases.get_writable(principal, knowledge_id)
        await self._begin_again(principal, base, await self._rows.of_base(base.id, FileState.FAILED))

    async def reindex(self, principal: Principal, knowledge_id: str, model: str) -> None:
        """Cut and embed all files of a base anew, with a model, by one job; until that is done, what was found before is found.

        Raises NotFound, Forbidden.
        """
        base = await self._bases.get_writable(principal, knowledge_id)
        await self._entries.move_to(base, model)
        await self._begin_again(principal, base, await self._rows.of_base(base.id))
        await self._entries.settle(base.id)  # where there is no file

    async def _begin_again(self, principal: Principal, base: KnowledgeBase, entries: Sequence[KnowledgeFile]) -> None:
        if entries:
            await self._begin(principal, base, {}, [(entry, None) for entry in entries])

    async def _begin(
        self,
        principal: Principal,
        base: KnowledgeBase,
        new: dict[str, File],
        again: Sequence[tuple[KnowledgeFile, File | None]],
        *,
        managed: bool = False,
    ) -> IngestJob:
        """The job's record first: with it, whatever is written before this breaks off is begun by upkeep. Raises Conflict."""
        now = int(time.time())
        job = IngestJob(
            id=self._events.new_id(),
            user_id=principal.id,
            knowledge_id=base.id,
            total=len(new) + len(again),
            created_at=now,
            updated_at=now,
        )
        added = [
            KnowledgeFile(
                id=new_id(),
                knowledge_id=base.id,
                key=key,
                user_id=principal.id,
                created_at=now,
                updated_at=now,
                job_id=job.id,
                item=item,
                managed=managed,
                **describe(file),
            )
            for item, (key, file) in enumerate(new.items(), 1)
        ]
        await self._jobs.insert(job)
        try:
            await self._rows.insert(*added)
        except Conflict:
            await self._jobs.remove(job.id)
            raise
        begun = await self._again(job, again, len(added), managed=managed)
        await self._indexing.begin_all(job.id, principal.id, [*added, *begun])
        return job

    async def _again(
        self, job: IngestJob, again: Iterable[tuple[KnowledgeFile, File | None]], before: int, *, managed: bool
    ) -> list[KnowledgeFile]:
        """Other revisions. Where somebody else was faster there is nothing to do, but an item: they are numbered without gaps."""
        limit = asyncio.Semaphore(AT_ONCE)

        async def one(item: int, entry: KnowledgeFile, file: File | None) -> KnowledgeFile:
            async with limit:
                begun = await self._entries.renew(entry, file, managed=managed, job_id=job.id, item=item)
            return begun if begun.job_id == job.id else msgspec.structs.replace(begun, revision=NONE)

        numbered = enumerate(again, before + 1)
        return list(await asyncio.gather(*(one(item, entry, file) for item, (entry, file) in numbered)))


def _is_new(known: KnowledgeFile | None, file: File) -> bool:
    """Whether there is something to do: what failed is tried again."""
    return known is None or known.file_id != file.id or known.state is FileState.FAILED


def _check_paths(command: Ingest) -> None:
    seen = set[str]()
    for item in command.files:
        parts = item.path.split("/")
        if item.path in seen:
            message = f"files: the path {item.path!r} is there twice. Send each once."
            raise BadRequest(message, param="files")
        if any(part in {"", ".", ".."} for part in parts) or _CONTROLS.search(item.path):
            message = f"files: {item.path!r} is not a path such as 'docs/page.md', without control characters and '..'."
            raise BadRequest(message, param="files")
        seen.add(item.path)
