"""API keys, with the hashes they are found by in the same rows."""

from core.models.api_keys import ApiKey, ApiKeyCredentials
from core.storage.records.port import KEY, Collection, Index, Order, Records, to_record

COLLECTION = Collection("keys", indexes=(Index(("key_hash",), unique=True), Index(("user_id", "created_at"))))

REMEMBERED = 10_000

_BY_AGE = Order("created_at")


class ApiKeys:
    """Rows of keys."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self._ids: dict[str, str] = {}

    async def of_hash(self, key_hash: str) -> ApiKey | None:
        """The key with this hash, whoever's, as it is now. Whose hash it is never changes, and reading by id is quicker than finding."""
        key_id = self._ids.get(key_hash)
        if key_id is not None:
            return await self.get(key_id)
        found = await self._records.find(COLLECTION, {"key_hash": key_hash}, ApiKey, limit=1)
        if not found:
            return None
        if len(self._ids) >= REMEMBERED:
            del self._ids[next(iter(self._ids))]
        self._ids[key_hash] = found[0].id
        return found[0]

    async def get(self, key_id: str) -> ApiKey | None:
        """One, whoever's."""
        return await self._records.get(COLLECTION, key_id, ApiKey)

    async def of_user(self, user_id: str) -> list[ApiKey]:
        """A user's, oldest first."""
        return await self._records.find(COLLECTION, {"user_id": user_id}, ApiKey, order=_BY_AGE)

    async def insert(self, key: ApiKey, credentials: ApiKeyCredentials) -> None:
        """Add one."""
        await self._records.insert(COLLECTION, [to_record(key, credentials)])

    async def rename(self, key_id: str, name: str) -> bool:
        """Call it otherwise; whether it is still there."""
        return await self._records.update(COLLECTION, key_id, {"name": name})

    async def note_use(self, key: ApiKey, at: int) -> None:
        """Note when it was last used (Unix seconds), unless somebody else has done so meanwhile."""
        await self._records.update(COLLECTION, key.id, {"last_used_at": at}, where={"last_used_at": key.last_used_at})

    async def remove(self, key_id: str) -> bool:
        """Take it away; whether it was there."""
        return bool(await self._records.delete(COLLECTION, {KEY: key_id}))

    async def remove_user(self, user_id: str) -> None:
        """Take all of a user's away."""
        await self._records.delete(COLLECTION, {"user_id": user_id})
