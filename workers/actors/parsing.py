"""The actor that reads files: fetch, read in a child, keep."""

import asyncio
import shutil
import tempfile
from contextlib import aclosing
from pathlib import Path

import msgspec

from core.errors import BadRequest
from core.models.documents import FileRead, ReadFile
from core.models.events import Event, Failed, Finished
from core.models.files import File, FileStatus
from core.models.jobs import JobStatus
from core.services.files.documents import Documents
from core.services.files.files import Files
from workers.attempt import Attempt
from workers.children import Children, Limits

PARSER = "pipelines.parsing.child:read_file"
LIMITS = Limits(seconds=600, memory_bytes=4 << 30, output_bytes=256 << 20)
STOPPED = "Reading it was stopped."


class Parsing:
    """What ``parse_file`` does. What another worker left is read again."""

    def __init__(self, *, files: Files, documents: Documents, children: Children) -> None:
        self.files = files
        self.documents = documents
        self.children = children

    def __call__(self, attempt: Attempt) -> "Reading":
        """One attempt at a file."""
        return Reading(self, attempt)


class Reading:
    """One file's reading."""

    keeps = True

    def __init__(self, by: Parsing, attempt: Attempt) -> None:
        self._by = by
        self._file_id = attempt.claim.input.decode()
        self._read_file: File | None = None

    async def do(self) -> Finished:
        """Read it, unless the same bytes were read before; nothing where it was deleted meanwhile."""
        file = await self._by.files.find(self._file_id)
        if file and not await self._by.documents.find(file):
            data = await self._read(file)
            read = await asyncio.to_thread(msgspec.json.decode, data, type=FileRead)
            if read.document is None:
                raise BadRequest(read.refusal)
            await self._by.documents.keep(file, await asyncio.to_thread(msgspec.json.encode, read.document), read.document)
        return Finished()

    async def keep(self, status: JobStatus, last: Event) -> None:
        """What became of it, in the file's row. One that was deleted while it was read leaves nothing.

        One that is read on demand, and is not wanted any more, has not failed: it waits until somebody wants it.
        """
        files, documents = self._by.files, self._by.documents
        file = await files.find(self._file_id)
        if file and file.on_demand and status is JobStatus.CANCELLED:
            return
        record = await documents.find(file) if file else None
        if isinstance(last, Finished) and record:
            kept = await files.set_status(self._file_id, FileStatus.COMPLETED, missing=record.missing)
        else:
            error = last.detail if isinstance(last, Failed) else STOPPED
            kept = await files.set_status(self._file_id, FileStatus.FAILED, error=error)
        if not kept and self._read_file:
            await documents.forget(self._read_file)

    async def _read(self, file: File) -> bytes:
        """In a child, of a copy on this machine's disk."""
        self._read_file = file
        folder = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="penstock-"))
        try:
            await self._copy(file, folder / "file")
            asked = ReadFile(path=str(folder / "file"), filename=file.filename)
            return await self._by.children.run(PARSER, msgspec.json.encode(asked))
        finally:
            await asyncio.to_thread(shutil.rmtree, folder)

    async def _copy(self, file: File, path: Path) -> None:
        """Opened for each piece: one that is stopped leaves nothing open."""
        async with aclosing(self._by.files.read(file)) as pieces:
            async for piece in pieces:
                await asyncio.to_thread(_append, path, piece)


def _append(path: Path, piece: bytes) -> None:
    with path.open("ab") as file:
        file.write(piece)
