"""Chats, without their messages."""

import time
from collections.abc import Sequence
from typing import Any

import msgspec

from core.models.chats import Chat
from core.storage.documents import KEY, Collection, Documents, In, Index, Order, Record

COLLECTION = Collection("chats", indexes=(Index(("user_id", "touched")),), opaque=("document", "meta"))


class Chats:
    """Rows of chats. ``touched`` (microseconds since 1970) orders changes within a second, ``version`` counts all but those of times."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents
        self._moments = Moments()

    async def get(self, chat_id: str) -> Chat | None:
        """A chat, whoever's."""
        return await self._documents.get(COLLECTION, chat_id, Chat)

    async def several(self, chat_ids: Sequence[str]) -> list[Chat]:
        """Those among some chats that are there, whoever's, in any order."""
        return await self._documents.find(COLLECTION, {KEY: In(tuple(chat_ids))}, Chat)

    async def versioned(self, chat_id: str) -> tuple[Chat, int] | None:
        """A chat with its version, to be changed by ``change``."""
        record = await self._documents.get(COLLECTION, chat_id, Record)
        return (msgspec.convert(record, Chat), record["version"]) if record else None

    async def of_user(self, user_id: str, *, limit: int | None = None, after: str | None = None) -> list[Chat] | None:
        """A user's chats, newest change first; None where there is no such chat as ``after``."""
        place = None
        if after is not None:
            last = await self._documents.get(COLLECTION, after, Record)
            if last is None or last["user_id"] != user_id:
                return None
            place = (last["touched"], after)
        order = Order("touched", descending=True, after=place)
        return await self._documents.find(COLLECTION, {"user_id": user_id}, Chat, order=order, limit=limit)

    async def insert(self, chat: Chat) -> None:
        """Add a chat."""
        record: Record = {KEY: chat.id, **msgspec.to_builtins(chat), "touched": self._moments.next(), "version": 1}
        await self._documents.insert(COLLECTION, [record])

    async def change(self, chat: Chat, version: int) -> bool:
        """Write a changed chat if nobody has changed it since ``version``; whether it was written."""
        changes: dict[str, Any] = {**msgspec.to_builtins(chat), "touched": self._moments.next(), "version": version + 1}
        return await self._documents.update(COLLECTION, chat.id, changes, where={"version": version})

    async def touch(self, chat_id: str, at: int) -> bool:
        """Note that a chat got something new, at Unix seconds ``at``; whether the chat is still there."""
        return await self._documents.update(COLLECTION, chat_id, {"updated_at": at, "touched": self._moments.next()})

    async def remove(self, chat_id: str) -> bool:
        """Take a chat away; whether it was there."""
        return bool(await self._documents.delete(COLLECTION, {KEY: chat_id}))


class Moments:
    """Microseconds since 1970, each later than the one before, whatever the clock does."""

    def __init__(self) -> None:
        self._last = 0

    def next(self) -> int:
        """Now."""
        self._last = max(time.time_ns() // 1000, self._last + 1)
        return self._last
