"""Chats shared."""

from core.models.shares import Share
from core.storage.records.port import Collection, In, Index, Records, to_record

COLLECTION = Collection("shares", indexes=(Index(("chat_id",)),), opaque=("chat",))


class Shares:
    """Rows of shares."""

    def __init__(self, records: Records) -> None:
        self._records = records

    async def get(self, share_id: str) -> Share | None:
        """One, whoever's."""
        return await self._records.get(COLLECTION, share_id, Share)

    async def put(self, share: Share) -> None:
        """Write one, new or not."""
        await self._records.put(COLLECTION, [to_record(share)])

    async def remove_chats(self, *chat_ids: str) -> None:
        """Take all of some chats' away."""
        await self._records.delete(COLLECTION, {"chat_id": In(chat_ids)})
