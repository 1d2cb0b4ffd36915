"""What administrators have decided: one record for each subject, with the fields that were ever set."""

from core.errors import Conflict
from core.storage.records.port import KEY, Collection, Documents, Record

COLLECTION = Collection("configs")


class Configs:
    """Records of decisions."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents

    async def get(self, subject: str) -> Record:
        """What was set; nothing where nothing was."""
        found = await self._documents.get(COLLECTION, subject, Record) or {}
        return {name: value for name, value in found.items() if name != KEY}

    async def change(self, subject: str, changes: Record) -> None:
        """Set some fields; the others stay, also those that somebody else sets at this moment."""
        if not changes or await self._documents.update(COLLECTION, subject, changes):
            return
        try:
            await self._documents.insert(COLLECTION, [{KEY: subject, **changes}])
        except Conflict:
            await self._documents.update(COLLECTION, subject, changes)
