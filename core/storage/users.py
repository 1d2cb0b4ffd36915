"""Users, and the credentials kept in the same row: a newcomer is there with a password, or not at all."""

from typing import Any

import msgspec

from core.errors import Conflict
from core.models.users import Credentials, Role, User
from core.storage.documents import KEY, Collection, Documents, Index, Range, Record

COLLECTION = Collection("users", indexes=(Index(("email",), unique=True), Index(("seat",), unique=True)))

FIRST_SEAT = "first"


class Users:
    """Rows of users."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents

    async def get(self, user_id: str) -> User | None:
        """A user as they are now."""
        return await self._documents.get(COLLECTION, user_id, User)

    async def credentials(self, email: str) -> tuple[User, Credentials] | None:
        """Who has this (case-folded) address, with what proves it."""
        found = await self._documents.find(COLLECTION, {"email": email}, Record, limit=1)
        return (msgspec.convert(found[0], User), msgspec.convert(found[0], Credentials)) if found else None

    async def add(self, user: User, credentials: Credentials) -> User:
        """Store a newcomer. Raises Conflict: the address is taken.

        Where there is nobody yet, they become the administrator; of several at once exactly one does, because there is one first seat.
        """
        record = {KEY: user.id, **msgspec.to_builtins(user), **msgspec.to_builtins(credentials)}
        if not await self._documents.count(COLLECTION, {}):
            admin: dict[str, Any] = {**record, "role": Role.ADMIN.value, "seat": FIRST_SEAT}
            try:
                await self._documents.insert(COLLECTION, [admin])
            except Conflict:
                pass  # somebody else took the first seat meanwhile
            else:
                return msgspec.convert(admin, User)
        await self._documents.insert(COLLECTION, [{**record, "seat": user.id}])
        return user

    async def seen(self, user_id: str, at: int) -> None:
        """Note when a user was last active (Unix seconds); never backwards."""
        await self._documents.update(COLLECTION, user_id, {"last_active_at": at}, where={"last_active_at": Range(lt=at)})

    async def set_role(self, user_id: str, role: Role) -> bool:
        """Give a user another role; whether there was such a user."""
        return await self._documents.update(COLLECTION, user_id, {"role": role.value})

    async def remove(self, user_id: str) -> bool:
        """Take a user away; whether there was one."""
        return bool(await self._documents.delete(COLLECTION, {KEY: user_id}))
