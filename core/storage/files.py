"""Files: what is known of them. Their bytes are in core.storage.blobs, under the same ids."""

from collections.abc import Sequence

from core.models.files import File, FileStatus
from core.storage.records.port import KEY, Collection, Contains, Filter, In, Index, Order, Records, fold_case, to_record

COLLECTION = Collection(
    "files", indexes=(Index(("user_id", "created_at")), Index(("created_at",)), Index(("hash",)), Index(("status",))), opaque=("metadata",)
)

IDS_AT_ONCE = 500

_NEWEST_FIRST = Order("created_at", descending=True)


class Files:
    """Rows of files."""

    def __init__(self, records: Records) -> None:
        self._records = records

    async def get(self, file_id: str) -> File | None:
        """One, whoever's."""
        return await self._records.get(COLLECTION, file_id, File)

    async def find(
        self, user_id: str | None, *, named: str = "", after: File | None = None, limit: int | None = None, skip: int = 0
    ) -> list[File]:
        """A user's, or everybody's, the newest first. ``named``: with this in their name, whatever its case; ``after``: behind this one."""
        order = Order("created_at", descending=True, after=(after.created_at, after.id)) if after else _NEWEST_FIRST
        return await self._records.find(COLLECTION, _where(user_id, named), File, order=order, limit=limit, skip=skip)

    async def count(self, user_id: str | None) -> int:
        """How many a user has, or everybody."""
        return await self._records.count(COLLECTION, _where(user_id, ""))

    async def of_ids(self, file_ids: Sequence[str]) -> list[File]:
        """Those that there are of these."""
        found: list[File] = []
        for start in range(0, len(file_ids), IDS_AT_ONCE):
            found += await self._records.find(COLLECTION, {KEY: In(tuple(file_ids[start : start + IDS_AT_ONCE]))}, File)
        return found

    async def of_hash(self, sha256: str) -> list[File]:
        """All with the same bytes, whoever's."""
        return await self._records.find(COLLECTION, {"hash": sha256}, File, order=Order("created_at"))

    async def pending(self, count: int) -> list[File]:
        """Some of those that are to be read and that nobody has read yet, the oldest first."""
        where: Filter = {"status": FileStatus.PENDING.value, "on_demand": None}
        return await self._records.find(COLLECTION, where, File, order=Order("created_at"), limit=count)

    async def insert(self, file: File) -> None:
        """Add one."""
        await self._records.insert(COLLECTION, [to_record(file, name=fold_case(file.filename))])

    async def set_status(self, file_id: str, status: FileStatus, at: int, *, error: str | None = None, missing: Sequence[str] = ()) -> bool:
        """What has become of its text, at a time in Unix seconds; whether it is still there."""
        change = {"status": status.value, "error": error, "missing": list(missing), "updated_at": at}
        return await self._records.update(COLLECTION, file_id, change)

    async def remove(self, file_id: str) -> bool:
        """Take it away; whether it was there."""
        return bool(await self._records.delete(COLLECTION, {KEY: file_id}))


def _where(user_id: str | None, named: str) -> Filter:
    owner: Filter = {} if user_id is None else {"user_id": user_id}
    return {**owner, "name": Contains(named)} if named else owner
