"""Makes a knowledge base hold what some folders hold: what is new or has changed is sent, what is there is left alone.

What is there is asked of the server each time, so whatever broke off before, the next run goes on from there.
"""

import asyncio
import time
from collections.abc import Awaitable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from itertools import chain

import msgspec

from core.errors import BadRequest, NotFound, PenstockError, TooLarge, UnsupportedType
from core.models.ingestion import IngestFile
from core.models.jobs import JobStatus
from core.models.knowledge import FileState
from penstock.job_events import follow
from penstock.local_files import LocalFile, LocalFiles, hash_of
from penstock.server import Base, Entry, Job, JobEvent, Server
from penstock.sync_progress import Progress, duration

UPLOADS = 8
REMOVALS = 8
HASHED_AT_ONCE = 64
FILES_AT_ONCE = 1_000
FIRST_GATHER_S, MAX_GATHER_S = 0.5, 30.0
FOLLOWED = 16  # jobs; each is a connection
LOOK_S, MAX_LOOK_S = 2.0, 6.0
STOP_S = 5.0
STILL_S = 30.0
LEFT_S = 3_600  # longer than another run leaves a file that it has sent lying
GONE = "It was taken out of the base meanwhile."
OF_ONE_FILE = (BadRequest, TooLarge, UnsupportedType)


class Sync:
    """One run. ``hashes``: what is known of files' bytes by path and stamp, kept from run to run."""

    def __init__(self, server: Server, base: Base, progress: Progress, hashes: dict[tuple[str, tuple[int, int]], str]) -> None:
        self._server = server
        self._base = base
        self._progress = progress
        self._hashes = hashes
        self._jobs: dict[str, Job] = {}
        self._begun: asyncio.Queue[str | None] = asyncio.Queue()
        self._gathered: list[IngestFile] = []
        self._sent_all = False
        self._wanted: set[str] = set()
        self._moved_at = time.monotonic()

    async def run(self, files: LocalFiles, *, prune: bool = False) -> None:
        """All of it: when it ends, ``progress`` says what became of each file. Raises PenstockError for what is not one file's fault."""
        progress = self._progress
        progress.total, progress.failures = len(files.found) + len(files.unreadable), dict(files.unreadable)
        progress.step = "comparing"
        known = {entry.path: entry for entry in await self._server.entries(self._base) if entry.path}
        send, again = await self._compare(files.found, known)
        send = await self._take_up(send, known) if send else send
        self._wanted = {file.path for file in send} | {item.path for item in self._gathered} | {file.path for file in again}
        for job_id in {entry.job_id for path in files.found if (entry := known.get(path)) and _runs(entry) and entry.job_id}:
            self._begin(Job(id=job_id, status=JobStatus.IN_PROGRESS))
        self._wanted |= {path for path in files.found if (entry := known.get(path)) and _runs(entry) and path not in self._wanted}
        progress.unchanged, progress.wanted = len(files.found.keys() - self._wanted - progress.failures.keys()), len(self._wanted)
        progress.step, progress.began = "sending", time.monotonic()
        if prune:
            await self._prune([entry for path, entry in known.items() if files.lack(path)])
        self._gathered += again
        if self._wanted:
            await _together(self._send_all(send), self._put_in(), self._follow())
            await self._settle()
        progress.failed, progress.step = len(progress.failures), "done"

    async def stop(self) -> None:
        """Stop what the server does for this run; what is ready stays. Never raises."""
        with suppress(PenstockError, TimeoutError):
            async with asyncio.timeout(STOP_S):
                for job_id in self._jobs:
                    with suppress(NotFound):  # somebody else's
                        await self._server.cancel(job_id)

    async def _compare(self, found: dict[str, LocalFile], known: dict[str, Entry]) -> tuple[list[LocalFile], list[IngestFile]]:
        """What is to be sent, and what is there and failed before."""
        send: list[LocalFile] = []
        again: list[IngestFile] = []
        asked: list[LocalFile] = []
        for path, file in found.items():
            entry = known.get(path)
            (asked if entry and entry.size == file.size else send).append(file)
        parts = [asked[start : start + HASHED_AT_ONCE] for start in range(0, len(asked), HASHED_AT_ONCE)]
        hashed = await asyncio.gather(*(asyncio.to_thread(self._hash, part) for part in parts))
        for file, sha256 in zip(asked, chain.from_iterable(hashed), strict=True):
            entry = known[file.path]
            if sha256 is None:
                continue
            if entry.hash != sha256:
                send.append(file)
            elif entry.status is FileState.FAILED:
                again.append(IngestFile(path=file.path, file_id=entry.file_id))
        return send, again

    async def _take_up(self, send: Sequence[LocalFile], known: dict[str, Entry]) -> list[LocalFile]:
        """What is left to be sent: a run that was killed may have sent files and not put them in. Old ones that nobody wants go."""
        left, placed = {file.path: file for file in send}, {entry.file_id for entry in known.values()}
        for sent in await self._server.sent():
            base_id, path = sent.place
            if base_id != self._base.id or sent.id in placed:
                continue
            file, entry = left.get(path), known.get(path)
            if file and await asyncio.to_thread(self._hash, [file]) == [sent.hash]:
                self._gathered.append(IngestFile(path=file.path, file_id=sent.id))
                self._progress.sent += 1
                del left[file.path]
            elif time.time() - sent.created_at > LEFT_S and (entry is None or entry.status is FileState.READY):
                with suppress(NotFound):
                    await self._server.delete(sent.id)
        return list(left.values())

    def _hash(self, files: Sequence[LocalFile]) -> list[str | None]:
        """Of some files; None for one that cannot be read, which has failed."""
        found: list[str | None] = []
        for file in files:
            key = (file.path, file.stamp)
            try:
                found.append(self._hashes.get(key) or hash_of(file))
                self._hashes[key] = found[-1] or ""
            except OSError as error:
                found.append(None)
                self._progress.failures[file.path] = error.strerror or str(error)
        return found

    async def _prune(self, gone: Iterable[Entry]) -> None:
        left = iter(gone)

        async def some() -> None:
            for entry in left:
                with suppress(NotFound):
                    await self._server.remove(self._base, entry.file_id)
                self._progress.pruned += 1

        await _together(*(some() for _ in range(REMOVALS)))

    async def _send_all(self, files: Iterable[LocalFile]) -> None:
        left = iter(files)

        async def some() -> None:
            for file in left:
                await self._send(file)

        await _together(*(some() for _ in range(UPLOADS)))
        self._sent_all = True

    async def _send(self, file: LocalFile) -> None:
        progress = self._progress
        try:
            file_id = await self._server.upload(self._base, file)
        except OF_ONE_FILE as error:
            progress.failures[file.path] = error.detail
        except OSError as error:
            progress.failures[file.path] = error.strerror or str(error)
        else:
            self._gathered.append(IngestFile(path=file.path, file_id=file_id))
            progress.sent += 1
        progress.waiting = ""

    async def _put_in(self) -> None:
        """The first files soon, so that they can be found; later ones many together."""
        gather_s, since = FIRST_GATHER_S, time.monotonic()
        while self._gathered or not self._sent_all:
            if not self._gathered or not (self._sent_all or len(self._gathered) >= FILES_AT_ONCE or time.monotonic() - since >= gather_s):
                await asyncio.sleep(FIRST_GATHER_S / 5)
                continue
            some = self._gathered[:FILES_AT_ONCE]
            job = await self._server.ingest(self._base, some)
            del self._gathered[: len(some)]
            self._begin(job)
            gather_s, since = min(2 * gather_s, MAX_GATHER_S), time.monotonic()
        self._progress.step = "indexing"
        self._begun.put_nowait(None)

    def _begin(self, job: Job) -> None:
        self._jobs[job.id] = job
        self._begun.put_nowait(job.id)

    async def _follow(self) -> None:
        """Until all is put in and every job has ended."""

        async def some() -> None:
            while job_id := await self._begun.get():
                try:
                    self._tell(await follow(self._server, job_id, partial(self._hear, job_id)))
                except NotFound:  # somebody else's
                    del self._jobs[job_id]
            self._begun.put_nowait(None)  # for the others

        look = asyncio.ensure_future(self._look())
        try:
            await _together(*(some() for _ in range(FOLLOWED)))
        finally:
            look.cancel()
            await asyncio.gather(look, return_exceptions=True)

    async def _look(self) -> None:
        """Now and then: how much is in what is ready and what jobs wait for, which events do not say, and whether anything goes on."""
        pause_s = LOOK_S
        while True:
            await asyncio.sleep(pause_s)
            pause_s = min(1.5 * pause_s, MAX_LOOK_S)
            for job in await self._server.jobs():
                if job.id in self._jobs and not self._jobs[job.id].status.ended:
                    self._tell(job)
            still_s = time.monotonic() - self._moved_at
            if why := next((job.waiting for job in self._jobs.values() if job.waiting and not job.status.ended), None):
                self._progress.waiting = f"Waiting: {why}"
            elif still_s > STILL_S:
                self._progress.waiting = f"Nothing more for {duration(still_s)}: `penstock status` shows who works, and what waits."

    def _hear(self, job_id: str, event: JobEvent) -> None:
        if event.type == "progress":
            self._tell(msgspec.structs.replace(self._jobs[job_id], completed=event.completed, failed=event.failed))

    def _tell(self, job: Job) -> None:
        """How far a job is."""
        self._jobs[job.id] = job
        progress, jobs = self._progress, self._jobs.values()
        before = progress.done
        progress.ready = sum(job.completed for job in jobs)
        progress.failed = len(progress.failures) + sum(job.failed for job in jobs)
        progress.chunks, progress.pages = sum(job.chunks for job in jobs), sum(job.pages for job in jobs)
        if progress.done != before:
            self._moved_at = time.monotonic()
            progress.waiting = ""

    async def _settle(self) -> None:
        """What became of each file, as the base says; others' jobs among those that are waited for."""
        progress, pause_s = self._progress, LOOK_S
        while True:
            found = {entry.path: entry for entry in await self._server.entries(self._base) if entry.path in self._wanted}
            left = [entry for entry in found.values() if _runs(entry)]
            ready = [entry for entry in found.values() if entry.status is FileState.READY and entry.path not in progress.failures]
            failed = {entry.path or "": entry.error or "" for entry in found.values() if entry.status is FileState.FAILED}
            progress.ready = len(ready)
            progress.chunks, progress.pages = sum(entry.chunks for entry in ready), sum(entry.pages or 0 for entry in ready)
            if not left:
                progress.failures = failed | progress.failures
                progress.failures |= dict.fromkeys(self._wanted - found.keys() - progress.failures.keys(), GONE)
                break
            await asyncio.sleep(pause_s)
            pause_s = min(1.5 * pause_s, MAX_LOOK_S)


def _runs(entry: Entry) -> bool:
    return not entry.status.ended


async def _together(*parts: Awaitable[None]) -> None:
    """All at once; the first error ends the others."""
    tasks = [asyncio.ensure_future(part) for part in parts]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
