"""The code of functions, as it is and as it was."""

from core.models.functions import FunctionVersion
from core.storage.records.port import KEY, Collection, In, Index, Order, Records, to_record

COLLECTION = Collection("function_versions", indexes=(Index(("function_id", "number")),), opaque=("definition",))

_NEWEST_FIRST = Order("number", descending=True)


class FunctionVersions:
    """Rows of versions."""

    def __init__(self, records: Records) -> None:
        self._records = records

    async def get(self, version_id: str) -> FunctionVersion | None:
        """One, whoever's."""
        return await self._records.get(COLLECTION, version_id, FunctionVersion)

    async def of_function(self, function_id: str) -> list[FunctionVersion]:
        """A function's, the newest first."""
        return await self._records.find(COLLECTION, {"function_id": function_id}, FunctionVersion, order=_NEWEST_FIRST)

    async def insert(self, version: FunctionVersion) -> None:
        """Add one."""
        await self._records.insert(COLLECTION, [to_record(version)])

    async def remove(self, *version_ids: str) -> None:
        """Take some away."""
        await self._records.delete(COLLECTION, {KEY: In(version_ids)})

    async def remove_function(self, function_id: str) -> None:
        """Take all of a function's away."""
        await self._records.delete(COLLECTION, {"function_id": function_id})
