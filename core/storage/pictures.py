"""Pictures that users sent, apart from their rows: those are read with every request."""

from core.models.pictures import Picture
from core.storage.records.port import KEY, Collection, Records, to_record

COLLECTION = Collection("pictures")


class Pictures:
    """One for each user, at most."""

    def __init__(self, records: Records) -> None:
        self._records = records

    async def get(self, user_id: str) -> Picture | None:
        """A user's."""
        return await self._records.get(COLLECTION, user_id, Picture)

    async def put(self, picture: Picture) -> None:
        """Keep one, in place of the one before."""
        await self._records.put(COLLECTION, [to_record(picture)])

    async def remove_user(self, user_id: str) -> None:
        """Forget a user's."""
        await self._records.delete(COLLECTION, {KEY: user_id})
