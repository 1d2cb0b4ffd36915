"""Documents cut and embedded, kept for as long as the document is: what is embedded once is not embedded again, in whatever base."""

import asyncio
import time
import uuid

import msgspec

from core.errors import Conflict, NotFound
from core.ids import new_id
from core.models.documents import Chunk
from core.storage.blobs.port import Blobs, in_pieces, read_whole
from core.storage.embedded import EmbeddedRecord, EmbeddedRows

_NAMESPACE = uuid.UUID("6f1d0f0a-5f0e-5d0b-9c7e-0d6a8d1c3b11")


class EmbeddedDocument(msgspec.Struct, frozen=True, kw_only=True):
    """``ids``: of the chunks, made of what they say; ``vectors``: of the chunks, float32, one after the other."""

    ids: tuple[str, ...]
    chunks: tuple[Chunk, ...]
    vectors: bytes

    def vector(self, place: int) -> bytes:
        """Of the chunk at this place."""
        size = len(self.vectors) // len(self.ids)
        return self.vectors[size * place : size * (place + 1)]

    def vector_of(self) -> dict[str, bytes]:
        """All by id."""
        return {chunk_id: self.vector(place) for place, chunk_id in enumerate(self.ids)}


class Embedded:
    """The service of embedded documents, for workers."""

    def __init__(self, rows: EmbeddedRows, blobs: Blobs) -> None:
        self._rows = rows
        self._blobs = blobs

    async def read(self, embedded_id: str) -> EmbeddedDocument | None:
        """What is kept; None where nothing is, or it cannot be read."""
        record = await self._rows.get(embedded_id)
        if record is None:
            return None
        try:
            data = await read_whole(self._blobs, _blob(record))
            return await asyncio.to_thread(msgspec.msgpack.decode, data, type=EmbeddedDocument)
        except (NotFound, msgspec.MsgspecError):
            return None

    async def keep(self, embedded_id: str, document_id: str, document: EmbeddedDocument) -> None:
        """Keep it. Where it is kept already, also by somebody who does the same at this moment, nothing changes."""
        record = EmbeddedRecord(id=embedded_id, blob_id=new_id(), document_id=document_id, created_at=int(time.time()))
        await self._blobs.write(record.blob_id, in_pieces(await asyncio.to_thread(msgspec.msgpack.encode, document)))
        try:
            await self._rows.insert(record)
        except Conflict:
            known = await self._rows.get(embedded_id)
            if known and await self._blobs.exists(_blob(known)):
                await self._blobs.delete(record.blob_id)
            else:
                await self._rows.put(record)

    async def forget_document(self, document_id: str) -> None:
        """A document goes, and with it all that was embedded of it."""
        for record in await self._rows.of_document(document_id):
            await self._blobs.delete(_blob(record))
            await self._rows.remove(record.id)


def embedded_id(*parts: object) -> str:
    """The id of what is made of a document in one way."""
    return str(uuid.uuid5(_NAMESPACE, "\0".join(map(str, parts))))


def _blob(record: EmbeddedRecord) -> str:
    return record.blob_id or record.id
