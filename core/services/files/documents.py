"""What was read out of files: kept once for all files of the same bytes and type, for as long as one of them is there."""

import asyncio
import time
from typing import TYPE_CHECKING

import msgspec

from core.errors import Conflict
from core.ids import new_id
from core.json.offload import offload
from core.models.documents import PARSER_VERSION, DocumentRecord, ParsedDocument
from core.models.files import File
from core.services.files.names import ending
from core.storage.blobs.port import Blobs, in_pieces, read_whole
from core.storage.documents import Documents as DocumentRows
from core.storage.files import Files as FileRows

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


class Documents:
    """The service of documents, for other services and for workers: who may see a file has been asked before.

    ``on_forget``: called with a document's id before it goes.
    """

    def __init__(self, rows: DocumentRows, files: FileRows, blobs: Blobs) -> None:
        self._rows = rows
        self._files = files
        self._blobs = blobs
        self.on_forget: list[Callable[[str], Awaitable[object]]] = []

    async def find(self, file: File) -> DocumentRecord | None:
        """What is known of a file's document; None while nobody has read it."""
        return await self._rows.get(_id(file))

    async def keep(self, file: File, data: bytes, document: ParsedDocument) -> None:
        """Keep a document, and ``data``, the same as JSON. Where it is kept already, nothing changes."""
        record = DocumentRecord(
            id=_id(file),
            blob_id=new_id(),
            format=document.format,
            title=document.title,
            missing=document.missing,
            pages=document.pages,
            characters=document.characters,
            created_at=int(time.time()),
        )
        await self._blobs.write(record.blob_id, in_pieces(data))
        inserting = asyncio.ensure_future(self._rows.insert(record))
        cancelled = await _end(inserting)
        if (error := inserting.exception()) and not await asyncio.shield(self._is_kept(record)) and not isinstance(error, Conflict):
            raise error
        if cancelled:
            raise cancelled

    async def _is_kept(self, record: DocumentRecord) -> bool:
        """After a failure: a store that went away in the middle may have written the row all the same. Where it has not, the bytes go.

        Raises Unavailable where the store does not say so: the bytes stay, since the row may name them.
        """
        found = await self._rows.get(record.id)
        if found and found.blob_id == record.blob_id:
            return True
        await self._blobs.delete(record.blob_id)
        return False

    async def text(self, file: File) -> str:
        """All that a file says; empty while nobody has read it."""
        record = await self.find(file)
        return await asyncio.to_thread((await self.read(record)).render) if record else ""

    async def read(self, record: DocumentRecord) -> ParsedDocument:
        """The document. Raises NotFound where its bytes are gone."""
        data = await read_whole(self._blobs, record.blob_id)
        return await offload(len(data), _decode, data)

    async def forget(self, file: File) -> None:
        """A file goes: its document, too, unless another file gives the same."""
        others = [other for other in await self._files.of_hash(file.hash) if other.id != file.id and _id(other) == _id(file)]
        record = None if others else await self._rows.get(_id(file))
        if record:
            for forget in self.on_forget:
                await forget(record.id)
            await self._rows.remove(record.id)
            await self._blobs.delete(record.blob_id)


async def _end(task: "asyncio.Future[None]") -> asyncio.CancelledError | None:
    """One who is cancelled waits for it all the same: a row that is being written is written, whoever waits."""
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait((task,))
        except asyncio.CancelledError as error:
            cancelled = error
    return cancelled


def _id(file: File) -> str:
    """Its name's ending, too, says how a file is read."""
    return f"{file.hash}.{ending(file.filename)}.{PARSER_VERSION}"


_decode = msgspec.json.Decoder(ParsedDocument).decode
