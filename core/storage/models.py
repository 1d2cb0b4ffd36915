"""Custom models."""

from typing import Any

from core.models.catalog import CustomModel
from core.storage.records.port import KEY, Collection, Index, Records, to_record

COLLECTION = Collection("models", indexes=(Index(("user_id",)),), opaque=("params", "meta"))


class Models:
    """Rows of custom models."""

    def __init__(self, records: Records) -> None:
        self._records = records

    async def get(self, model_id: str) -> CustomModel | None:
        """One, whoever's."""
        return await self._records.get(COLLECTION, model_id, CustomModel)

    async def all(self) -> list[CustomModel]:
        """All, in any order."""
        return await self._records.find(COLLECTION, {}, CustomModel)

    async def of_user(self, user_id: str) -> list[CustomModel]:
        """A user's, in any order."""
        return await self._records.find(COLLECTION, {"user_id": user_id}, CustomModel)

    async def insert(self, model: CustomModel) -> None:
        """Add one. Raises Conflict where the id is taken."""
        await self._records.insert(COLLECTION, [to_record(model)])

    async def change(self, model_id: str, changes: dict[str, Any]) -> bool:
        """Set some fields; whether it was there."""
        return await self._records.update(COLLECTION, model_id, changes)

    async def remove(self, model_id: str) -> bool:
        """Take one away; whether it was there."""
        return bool(await self._records.delete(COLLECTION, {KEY: model_id}))
