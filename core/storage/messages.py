"""Messages: a row each, so that adding one to a long chat costs what adding one to a short chat costs."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from core.json.offload import offload
from core.models.chats import Message, VersionedMessage, size_of
from core.storage.records.port import KEY, Collection, Contains, In, Index, Order, Record, Records, fold_case, to_record
from core.storage.timestamps import Timestamps

COLLECTION = Collection("messages", indexes=(Index(("chat_id", "position")),), opaque=("content", "extra", "posted"))

_BY_POSITION = Order("position")
_DELETE_AT_ONCE = 500


class Messages:
    """Rows of messages. Ids are unique within a chat, so a row's key is made of both."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self._timestamps = Timestamps()

    async def of_chat(self, chat_id: str) -> list[Message]:
        """All, in order."""
        return await self._records.find(COLLECTION, {"chat_id": chat_id}, Message, order=_BY_POSITION)

    async def of_chats(self, chat_ids: Sequence[str]) -> list[Message]:
        """All of several chats, each chat's in order."""
        return await self._records.find(COLLECTION, {"chat_id": In(tuple(chat_ids))}, Message, order=_BY_POSITION)

    async def find_chats_holding(self, chat_ids: Sequence[str], text: str) -> set[str]:
        """Those of some chats in which a message holds a text, whatever its case."""
        found = await self._records.find(COLLECTION, {"chat_id": In(tuple(chat_ids)), "text": Contains(text)}, _Placed)
        return {message.chat_id for message in found}

    async def insert(self, messages: Sequence[Message]) -> None:
        """Add messages, all or none. Raises Conflict where a chat already has one of the ids."""
        if messages:
            await self._records.insert(COLLECTION, await offload(size_of(messages), records, messages, self._timestamps.next()))

    async def versioned(self, chat_id: str) -> list[VersionedMessage]:
        """All, in order, with their versions, to be changed by ``change``."""
        return await self._records.find(COLLECTION, {"chat_id": chat_id}, VersionedMessage, order=_BY_POSITION)

    async def change(self, message: Message, version: int) -> bool:
        """Write a whole message if nobody has written it since ``version``; whether it was written."""
        (record,) = records((message,), self._timestamps.next())
        return await self._records.update(COLLECTION, record.pop(KEY), record, where={"version": version})

    async def fill(self, chat_id: str, message_id: str, content: Any, extra: Mapping[str, Any]) -> bool:
        """Set a message's content and some of what it holds besides; whether it is still there. Of several at once none is lost."""
        return await self._change(chat_id, message_id, extra, {"content": content, "text": _text(content)})

    async def note(self, chat_id: str, message_id: str, extra: Mapping[str, Any]) -> bool:
        """The same without its content."""
        return await self._change(chat_id, message_id, extra, {})

    async def _change(self, chat_id: str, message_id: str, extra: Mapping[str, Any], more: Mapping[str, Any]) -> bool:
        key = _key(chat_id, message_id)
        while (record := await self._records.get(COLLECTION, key, Record)) is not None:
            changes = {**more, "extra": {**record["extra"], **extra}, "version": self._timestamps.next()}
            if await self._records.update(COLLECTION, key, changes, where={"version": record["version"]}):
                return True
        return False

    async def remove(self, chat_id: str, message_ids: Iterable[str]) -> None:
        """Take some of a chat's messages away."""
        keys = [_key(chat_id, message_id) for message_id in message_ids]
        for start in range(0, len(keys), _DELETE_AT_ONCE):
            await self._records.delete(COLLECTION, {KEY: In(tuple(keys[start : start + _DELETE_AT_ONCE]))})

    async def remove_chats(self, *chat_ids: str) -> None:
        """Take all messages of some chats away."""
        await self._records.delete(COLLECTION, {"chat_id": In(chat_ids)})


def records(messages: Iterable[Message], version: int) -> list[Record]:
    """Rows. ``text``: what a message is found by; ``version``: the moment of its last writing, so that ``fill`` notices any other."""
    return [to_record(each, key=_key(each.chat_id, each.id), text=_text(each.content), version=version) for each in messages]


def search_fields(record: Record) -> Record:
    """What a row is found by."""
    return {"text": _text(record["content"])}


class _Placed(msgspec.Struct, frozen=True):
    chat_id: str


def _text(content: Any) -> str:
    """The words of a message: of its text, or of its parts that are texts."""
    if isinstance(content, str):
        return fold_case(content)
    parts = content if isinstance(content, list) else ()
    texts = (part.get("text") for part in parts if isinstance(part, dict))
    return fold_case("\n".join(text for text in texts if isinstance(text, str)))


def _key(chat_id: str, message_id: str) -> str:
    return f"{chat_id}/{message_id}"
