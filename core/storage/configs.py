"""What administrators have decided: one record for each subject, with the fields that were ever set."""

from core.errors import Conflict
from core.storage.records.port import KEY, Collection, Record, Records

COLLECTION = Collection("configs")


class Configs:
    """Records of decisions."""

    def __init__(self, records: Records) -> None:
        self._records = records

    async def get(self, subject: str) -> Record:
        """What was set; nothing where nothing was."""
        found = await self._records.get(COLLECTION, subject, Record) or {}
        return {name: value for name, value in found.items() if name != KEY}

    async def change(self, subject: str, changes: Record) -> None:
        """Set some fields; the others stay, also those that somebody else sets at this moment."""
        if not changes or await self._records.update(COLLECTION, subject, changes):
            return
        try:
            await self._records.insert(COLLECTION, [{KEY: subject, **changes}])
        except Conflict:
            await self._records.update(COLLECTION, subject, changes)
