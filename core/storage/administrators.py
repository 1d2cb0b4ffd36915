"""Which administrators are about to be no more: so that of two who go at once one stays.

One record lists those who are going. Whoever wants to go looks who would be left, and writes themself down only if nobody else has written
meanwhile (compare-and-set); they are taken off it when they are gone.
"""

import time
import uuid
from contextlib import suppress

from core.errors import Conflict
from core.models.users import Role, User
from core.storage.records.port import KEY, Collection, Record, Records
from core.storage.users import COLLECTION as USERS

COLLECTION = Collection("administrators", opaque=("going",))

LIST = "going"
FORGOTTEN_S = 300  # by then a process that died between the two steps is known to be dead


class Administrators:
    """The list."""

    def __init__(self, records: Records) -> None:
        self._records = records

    async def begin_removal(self, user_id: str) -> str | None:
        """Write down that an administrator will be none, as an entry to be named to ``gone``; None where nobody would be left."""
        while True:
            record, now, entry = await self._list(), int(time.time()), uuid.uuid4().hex
            going = {known: one for known, one in record["going"].items() if now - one["at"] < FORGOTTEN_S}
            leaving = {user_id, *(one["user"] for one in going.values())}
            if all(user.id in leaving for user in await self._records.find(USERS, {"role": Role.ADMIN.value}, User)):
                return None
            if await self._write(record, {**going, entry: {"user": user_id, "at": now}}):
                return entry

    async def end_removal(self, entry: str) -> None:
        """They are none any more, or stay after all."""
        while True:
            record = await self._list()
            if await self._write(record, {known: one for known, one in record["going"].items() if known != entry}):
                return

    async def _list(self) -> Record:
        while (record := await self._records.get(COLLECTION, LIST, Record)) is None:
            with suppress(Conflict):  # somebody else made it
                await self._records.insert(COLLECTION, [{KEY: LIST, "going": {}, "version": 0}])
        return record

    async def _write(self, record: Record, going: Record) -> bool:
        changes = {"going": going, "version": record["version"] + 1}
        return await self._records.update(COLLECTION, LIST, changes, where={"version": record["version"]})
