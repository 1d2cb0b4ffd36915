"""Settings of functions, with the encrypted ones in the same rows."""

from core.models.functions import SealedValves, ValveValues
from core.storage.records.port import Collection, Index, Records, to_record

COLLECTION = Collection("function_valves", indexes=(Index(("function_id",)), Index(("user_id",))), opaque=("values",))


class FunctionValves:
    """Rows of settings."""

    def __init__(self, records: Records) -> None:
        self._records = records

    async def get(self, valves_id: str) -> ValveValues | None:
        """A function's, or a user's for it."""
        return await self._records.get(COLLECTION, valves_id, ValveValues)

    async def sealed(self, valves_id: str) -> str:
        """The secret ones, encrypted; empty where there are none."""
        found = await self._records.get(COLLECTION, valves_id, SealedValves)
        return found.sealed if found else ""

    async def put(self, values: ValveValues, sealed: SealedValves) -> None:
        """Write them, new or not."""
        await self._records.put(COLLECTION, [to_record(values, sealed)])

    async def remove_function(self, function_id: str) -> None:
        """Take all for a function away."""
        await self._records.delete(COLLECTION, {"function_id": function_id})

    async def remove_user(self, user_id: str) -> None:
        """Take all of a user's away."""
        await self._records.delete(COLLECTION, {"user_id": user_id})
