"""Chats, without their messages."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from core.json.offload import offload
from core.models.chats import MESSAGE_BYTES, Chat, ChatDetail, StampedChat, size_of
from core.storage import messages
from core.storage.records.port import KEY, Added, Collection, In, Index, Order, Record, Records, to_record
from core.storage.timestamps import Timestamps

SECOND = 1_000_000
COLLECTION = Collection(
    "chats",
    indexes=(
        Index(("user_id", "touched")),
        Index(("user_id", "pinned", "touched")),
        Index(("user_id", "archived", "touched")),
        Index(("user_id", "archived", "pinned", "touched")),
    ),
    opaque=("document", "meta"),
)


class Chats:
    """Rows of chats. ``touched`` (microseconds since 1970) orders changes within a second, ``version`` counts all but those of times."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self._moments = Timestamps()

    async def get(self, chat_id: str) -> Chat | None:
        """A chat, whoever's."""
        return await self._records.get(COLLECTION, chat_id, Chat)

    async def stamped(self, chat_id: str) -> StampedChat | None:
        """A chat, whoever's, with the moment of its last change."""
        return await self._records.get(COLLECTION, chat_id, StampedChat)

    async def several(self, chat_ids: Sequence[str]) -> list[Chat]:
        """Those among some chats that are there, whoever's, in any order."""
        return await self._records.find(COLLECTION, {KEY: In(tuple(chat_ids))}, Chat)

    async def versioned(self, chat_id: str) -> tuple[Chat, int] | None:
        """A chat with its version, to be changed by ``change``."""
        record = await self._records.get(COLLECTION, chat_id, Record)
        return (msgspec.convert(record, Chat), record["version"]) if record else None

    async def of_user(
        self, user_id: str, marks: Mapping[str, bool], *, limit: int | None = None, after: str | None = None, skip: int = 0
    ) -> list[Chat] | None:
        """A user's chats that have these marks (``pinned``, ``archived``), newest change first; None where there is no ``after``."""
        place = None
        if after is not None:
            last = await self._records.get(COLLECTION, after, Record)
            if last is None or last["user_id"] != user_id:
                return None
            place = (last["touched"], after)
        order = Order("touched", descending=True, after=place)
        return await self._records.find(COLLECTION, {"user_id": user_id, **marks}, Chat, order=order, limit=limit, skip=skip)

    async def ids(self, user_id: str, limit: int | None = None) -> list[str]:
        """The ids of a user's chats, newest change first."""
        found = await self._records.find(COLLECTION, {"user_id": user_id}, _Named, order=_NEWEST, limit=limit)
        return [chat.id for chat in found]

    async def insert(self, detail: ChatDetail) -> None:
        """Add a chat with its messages."""
        moment = self._moments.next()
        await self._insert((detail,), moment, lambda *_: moment)

    async def take_in(self, details: Sequence[ChatDetail]) -> None:
        """Add chats with their messages, all or none, that got their last changes before, the later ones first."""
        await self._insert(details, self._moments.next(), lambda chat, place: (chat.updated_at + 1) * SECOND - place)

    async def change(self, chat: Chat, version: int) -> bool:
        """Write a chat's new content if nobody has changed that since ``version``; whether it was written. Its marks stay as they are."""
        content = {name: getattr(chat, name) for name in _CONTENT}
        changes: Record = {**content, "touched": self._moments.next(), "version": version + 1}
        return await self._records.update(COLLECTION, chat.id, changes, where={"version": version})

    async def mark(self, chat_id: str, mark: str, value: Any, *, was: Any) -> bool:
        """Set ``pinned``, ``archived`` or ``share_id``, which is no change of the chat, if it is what it ``was``; whether it was set."""
        return await self._records.update(COLLECTION, chat_id, {mark: value}, where={mark: was})

    async def archive_all(self, user_id: str, archived: bool) -> int:  # noqa: FBT001 - the value itself
        """Archive all chats of a user, or none; how many changed."""
        return await self._records.change(COLLECTION, {"user_id": user_id, "archived": not archived}, {"archived": archived})

    async def touch(self, chat_id: str, at: int) -> bool:
        """Note that a chat got something new, at Unix seconds ``at``; whether the chat is still there."""
        return await self._records.update(COLLECTION, chat_id, {"updated_at": at, "touched": self._moments.next()})

    async def remove(self, *chat_ids: str) -> int:
        """Take chats away; how many were there."""
        return await self._records.delete(COLLECTION, {KEY: In(chat_ids)})

    async def _insert(self, details: Sequence[ChatDetail], moment: int, touched: Callable[[Chat, int], int]) -> None:
        size = sum(size_of(detail.messages) + MESSAGE_BYTES for detail in details)
        await self._records.insert_several(await offload(size, _rows, details, moment, touched))


def _rows(details: Sequence[ChatDetail], moment: int, touched: Callable[[Chat, int], int]) -> Added:
    """Messages first: nobody sees a chat without them. ``touched``: when a chat was, and its place among them, from 1."""
    added = [message for detail in details for message in detail.messages]
    chats = [to_record(detail.chat, touched=touched(detail.chat, place), version=1) for place, detail in enumerate(details, 1)]
    return ((messages.COLLECTION, messages.records(added, moment)), (COLLECTION, chats))


class _Named(msgspec.Struct, frozen=True):
    id: str


_NEWEST = Order("touched", descending=True)
_CONTENT = ("title", "document", "layout", "updated_at")
