"""Users, and the credentials kept in the same row: a newcomer is there with a password, or not at all."""

import time
from typing import Any

import msgspec

from core.errors import Conflict
from core.models.users import Credentials, Role, Sessions, User
from core.storage.records.port import KEY, Collection, Contains, Filter, Index, Order, Range, Record, Records, fold_case, to_record

COLLECTION = Collection("users", indexes=(Index(("email",), unique=True), Index(("seat",), unique=True), Index(("role",))))

FIRST_SEAT = "first"
MAX_ENDED = 1_000


class _Row(User, frozen=True, kw_only=True):
    """A user with which of their tokens count; ``sessions_version`` counts the changes of those."""

    epoch: int = 0
    kept: str = ""
    ended: dict[str, int] = msgspec.field(default_factory=dict)
    sessions_version: int | None = None


class Users:
    """Rows of users. ``search`` holds the name and the address as they are searched, and ordered by name."""

    def __init__(self, records: Records) -> None:
        self._records = records

    async def get(self, user_id: str) -> User | None:
        """A user as they are now."""
        return await self._records.get(COLLECTION, user_id, User)

    async def get_with_sessions(self, user_id: str) -> tuple[User, Sessions] | None:
        """A user as they are now, and which of their tokens count: one read, because each request makes it."""
        row = await self._records.get(COLLECTION, user_id, _Row)
        if row is None:
            return None
        user = User(
            id=row.id,
            name=row.name,
            email=row.email,
            role=row.role,
            profile_image_url=row.profile_image_url,
            created_at=row.created_at,
            updated_at=row.updated_at,
            last_active_at=row.last_active_at,
        )
        return user, Sessions(epoch=row.epoch, kept=row.kept, ended=row.ended)

    async def credentials(self, email: str) -> tuple[User, Credentials] | None:
        """Who has this (case-folded) address, with what proves it."""
        found = await self._records.find(COLLECTION, {"email": email}, Record, limit=1)
        return (msgspec.convert(found[0], User), msgspec.convert(found[0], Credentials)) if found else None

    async def find(self, query: str | None = None, *, order: Order | None = None, limit: int | None = None, skip: int = 0) -> list[User]:
        """Users whose name or address holds a text, whatever its case; without one, all. ``skip``: leave so many out at the beginning."""
        return await self._records.find(COLLECTION, _searched(query), User, order=order, limit=limit, skip=skip)

    async def count(self, query: str | None = None) -> int:
        """How many these are."""
        return await self._records.count(COLLECTION, _searched(query))

    async def place(self, user_id: str, field: str) -> Any:
        """What a user's row holds in the field that a list is ordered by; None where there is no such user."""
        record = await self._records.get(COLLECTION, user_id, Record)
        return record and record.get(field)

    async def add(self, user: User, credentials: Credentials) -> User:
        """Store a newcomer. Raises Conflict: the address is taken.

        Where there is nobody yet, they become the administrator; of several at once exactly one does, because there is one first seat.
        """
        record = to_record(user, credentials, seat=user.id, search=_search(user.name, user.email))
        if not await self._records.count(COLLECTION, {}):
            admin: Record = {**record, "role": Role.ADMIN, "seat": FIRST_SEAT}
            try:
                await self._records.insert(COLLECTION, [admin])
            except Conflict:
                pass  # somebody else took the first seat meanwhile
            else:
                return msgspec.structs.replace(user, role=Role.ADMIN)
        await self._records.insert(COLLECTION, [record])
        return user

    async def change(self, old: User, new: User) -> bool:
        """Write a name, address and picture, if there are still the old ones; whether there were. Raises Conflict for a taken address."""
        where = {"name": old.name, "email": old.email, "profile_image_url": old.profile_image_url}
        changes = {
            "name": new.name,
            "email": new.email,
            "profile_image_url": new.profile_image_url,
            "updated_at": new.updated_at,
            "search": _search(new.name, new.email),
        }
        return await self._records.update(COLLECTION, old.id, changes, where=where)

    async def note_activity(self, user_id: str, at: int) -> None:
        """Note when a user was last active (Unix seconds); never backwards."""
        await self._records.update(COLLECTION, user_id, {"last_active_at": at}, where={"last_active_at": Range(lt=at)})

    async def set_role(self, user_id: str, role: Role, *, was: Role) -> bool:
        """Give a user another role, if they have the one they had; whether they did."""
        return await self._records.update(COLLECTION, user_id, {"role": role.value}, where={"role": was.value})

    async def set_password(self, user_id: str, password_hash: str, *, keep: str = "") -> bool:
        """Give a user another password, with which all their tokens end but the one to ``keep``; whether there was such a user."""
        while (row := await self._records.get(COLLECTION, user_id, _Row)) is not None:
            changes = {
                "password_hash": password_hash,
                "epoch": row.epoch + 1,
                "kept": keep,
                "ended": {session: until for session, until in row.ended.items() if session == keep},
            }
            if await self._change_sessions(row, changes):
                return True
        return False

    async def end_session(self, user_id: str, session: str, until: int) -> None:
        """One token is good no more, until it expires. Who signs out thousands of times a month signs out everywhere now and then."""
        while (row := await self._records.get(COLLECTION, user_id, _Row)) is not None:
            now = time.time()
            ended = {known: end for known, end in row.ended.items() if end > now} | {session: until}
            full = {"epoch": row.epoch + 1, "kept": "", "ended": {}} if len(ended) > MAX_ENDED else {"ended": ended}
            if await self._change_sessions(row, full):
                return

    async def remove(self, user_id: str, *, role: Role) -> bool:
        """Take a user away, if they have this role; whether there was one who had."""
        return bool(await self._records.delete(COLLECTION, {KEY: user_id, "role": role.value}))

    async def _change_sessions(self, row: _Row, changes: Record) -> bool:
        version = row.sessions_version
        return await self._records.update(
            COLLECTION, row.id, {**changes, "sessions_version": (version or 0) + 1}, where={"sessions_version": version}
        )


def search_fields(record: Record) -> Record:
    """What a row is found by."""
    return {"search": _search(record["name"], record["email"])}


def _searched(query: str | None) -> Filter:
    return {"search": Contains(query)} if query else {}


def _search(name: str, email: str) -> str:
    return fold_case(f"{name}\n{email}")
