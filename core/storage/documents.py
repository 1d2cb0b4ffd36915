"""Documents that were read out of files. What they say is in core.storage.blobs."""

from core.models.documents import DocumentRecord
from core.storage.records.port import KEY, Collection, Records, to_record

COLLECTION = Collection("documents")


class Documents:
    """Rows of documents."""

    def __init__(self, records: Records) -> None:
        self._records = records

    async def get(self, document_id: str) -> DocumentRecord | None:
        """One."""
        return await self._records.get(COLLECTION, document_id, DocumentRecord)

    async def insert(self, document: DocumentRecord) -> None:
        """Add one. Raises Conflict where it is there."""
        await self._records.insert(COLLECTION, [to_record(document)])

    async def remove(self, document_id: str) -> bool:
        """Take it away; whether it was there."""
        return bool(await self._records.delete(COLLECTION, {KEY: document_id}))
