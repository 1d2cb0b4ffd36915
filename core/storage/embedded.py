"""What has been embedded of documents; the vectors themselves are with the bytes of files."""

import msgspec

from core.storage.records.port import KEY, Collection, Index, Records, to_record

COLLECTION = Collection("embedded", indexes=(Index(("document_id",)),))


class EmbeddedRecord(msgspec.Struct, frozen=True, kw_only=True):
    """``id``: made of the document, the model and the way it was cut; ``blob_id``: of the bytes, where that is another one."""

    id: str
    blob_id: str = ""
    document_id: str
    created_at: int


class EmbeddedRows:
    """Rows of what is kept."""

    def __init__(self, records: Records) -> None:
        self._records = records

    async def get(self, embedded_id: str) -> EmbeddedRecord | None:
        """One."""
        return await self._records.get(COLLECTION, embedded_id, EmbeddedRecord)

    async def insert(self, record: EmbeddedRecord) -> None:
        """Add one. Raises Conflict where it is there."""
        await self._records.insert(COLLECTION, [to_record(record)])

    async def put(self, record: EmbeddedRecord) -> None:
        """Write one, new or not."""
        await self._records.put(COLLECTION, [to_record(record)])

    async def of_document(self, document_id: str) -> list[EmbeddedRecord]:
        """All of a document."""
        return await self._records.find(COLLECTION, {"document_id": document_id}, EmbeddedRecord)

    async def remove(self, embedded_id: str) -> None:
        """Take one away."""
        await self._records.delete(COLLECTION, {KEY: embedded_id})
