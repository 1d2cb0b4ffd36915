"""Chats: kept, changed, and shown to those who may see them."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import msgspec

from core.chat_documents.document import as_document, estimate_bytes, message_document
from core.chat_documents.edits import import_chats, new_chat
from core.errors import BadRequest, Conflict, NotFound
from core.json.offload import offload
from core.models.chats import MESSAGE_BYTES, Chat, ChatDetail, ChatImport, Message, StampedChat
from core.models.jobs import JobStatus
from core.models.users import Principal
from core.redis.read_markers import DeliveredMessages, ReadMarkers
from core.services.chats.writes import NO_CHAT, ChatWrites, require_owner
from core.services.notifications import Notifications
from core.storage.chats import Chats as ChatRows
from core.storage.generations import Generations as GenerationRows
from core.storage.messages import Messages as MessageRows
from core.storage.shares import Shares as ShareRows
from core.storage.timestamps import Timestamps

__all__ = ["Chats", "as_document", "message_document"]

DELETE_AT_ONCE = 200


class Chats:
    """The service of chats."""

    def __init__(
        self,
        *,
        rows: ChatRows,
        messages: MessageRows,
        generations: GenerationRows,
        shares: ShareRows,
        notifications: Notifications,
        read_markers: ReadMarkers,
    ) -> None:
        self._chats = rows
        self._messages = messages
        self._generations = generations
        self._shares = shares
        self._notifications = notifications
        self._read_markers = read_markers
        self._writes = ChatWrites(rows, messages, read_markers)
        self._timestamps = Timestamps()

    async def list(
        self, principal: Principal, *, limit: int | None = None, after: str | None = None, skip: int = 0, marks: Mapping[str, bool] = {}
    ) -> list[Chat]:
        """Their own, newest change first: from ``after`` a chat's id, or without the ``skip`` first ones.

        ``marks``: only those that are ``pinned`` or ``archived``, or are not. Raises BadRequest for an ``after`` that is not theirs.
        """
        found = await self._chats.of_user(principal.id, marks, limit=limit, after=after, skip=skip)
        if found is None:
            message = "after must be the id of one of your chats: the last one of the page before."
            raise BadRequest(message, param="after")
        return found

    async def readable(self, principal: Principal, chat_id: str) -> Chat:
        """The chat, if the principal may see it: the one place that decides. Raises NotFound for a stranger's, for administrators too."""
        return require_owner(principal, await self._chats.get(chat_id))

    async def get(self, principal: Principal, chat_id: str) -> ChatDetail:
        """A chat with its messages. Raises NotFound."""
        return await self.whole(await self.readable(principal, chat_id))

    async def stamped(self, principal: Principal, chat_id: str) -> StampedChat:
        """The chat with the moment of its last change, if the principal may see it. Raises NotFound."""
        return require_owner(principal, await self._chats.stamped(chat_id))

    async def whole(self, chat: Chat) -> ChatDetail:
        """A chat that was read just now, with its messages."""
        return ChatDetail(chat=chat, messages=tuple(await self._messages.of_chat(chat.id)))

    def note_delivered(self, principal: Principal, chat_id: str, given: DeliveredMessages) -> None:
        """Note that a client was given a chat's messages."""
        self._read_markers.note_delivered(principal, chat_id, given)

    async def histories(self, principal: Principal, chat_ids: Sequence[str]) -> dict[str, tuple[Message, ...]]:
        """The messages of several chats at once, by chat; those that the principal may not see are left out."""
        return {detail.chat.id: detail.messages for detail in await self.several(principal, chat_ids)}

    async def several(self, principal: Principal, chat_ids: Sequence[str]) -> Sequence[ChatDetail]:
        """Several chats at once with their messages, in this order; those that the principal may not see are left out."""
        mine = {chat.id: chat for chat in await self._chats.several(chat_ids) if chat.user_id == principal.id}
        found: dict[str, list[Message]] = {chat_id: [] for chat_id in chat_ids if chat_id in mine}
        for message in await self._messages.of_chats(list(mine)) if mine else ():
            found[message.chat_id].append(message)
        return [ChatDetail(chat=mine[chat_id], messages=tuple(messages)) for chat_id, messages in found.items()]

    async def create(self, principal: Principal, document: dict[str, Any]) -> ChatDetail:
        """A new chat of a posted document. Raises BadRequest that names the field at fault."""
        made = partial(new_chat, now=int(time.time()), stored=self._timestamps.next())
        detail = await offload(estimate_bytes(document), made, principal, document)
        await self._chats.insert(detail)
        return detail

    async def import_chats(self, principal: Principal, chats: Sequence[ChatImport]) -> Sequence[Chat]:
        """New chats out of a file, with their times and marks, all or none. Raises BadRequest that names the first field at fault."""
        now = int(time.time())
        stored = self._timestamps.next()
        found = await offload(sum(estimate_bytes(chat.chat) + MESSAGE_BYTES for chat in chats), import_chats, principal, chats, now, stored)
        await self._chats.take_in(found)
        return [detail.chat for detail in found]

    async def update(self, principal: Principal, chat_id: str, document: dict[str, Any]) -> ChatDetail:
        """Merge a posted document into a chat, one level deep; one that holds no messages keeps them. Raises NotFound, BadRequest.

        The chat's row is compared and set, so of two who change different fields at once neither is lost.
        """
        return await self._writes.update(principal, chat_id, document)

    async def edit(self, principal: Principal, chat_id: str, message_id: str, content: Any) -> ChatDetail:
        """Give a message another content. Raises NotFound."""
        return await self._writes.edit(principal, chat_id, message_id, content)

    async def remove(self, principal: Principal, chat_id: str, message_id: str) -> ChatDetail:
        """Take a message out; an answer that still runs is stopped. Raises NotFound."""
        detail = await self._writes.remove(principal, chat_id, message_id)
        for generation in await self._generations.running(chat_id):
            if generation.message_id == message_id and await self._notifications.stop_unwanted(generation.id):
                await self._generations.finish(generation.id, JobStatus.CANCELLED)
        return detail

    async def mark(self, principal: Principal, chat_id: str, mark: str, *, value: bool | None = None) -> Chat:
        """Set ``pinned`` or ``archived``, or turn it to what it is not, which leaves the chat's time as it is. Raises NotFound."""
        while True:
            chat = await self.readable(principal, chat_id)
            was = getattr(chat, mark)
            wanted = not was if value is None else value
            if was == wanted or await self._chats.mark(chat_id, mark, wanted, was=was):
                return msgspec.structs.replace(chat, **{mark: wanted})

    async def archive_all(self, principal: Principal, *, archived: bool) -> int:
        """Archive all of theirs, or take all out of the archive; how many changed."""
        return await self._chats.archive_all(principal.id, archived)

    async def delete(self, principal: Principal, chat_id: str) -> None:
        """Take a chat away with its messages and generations; answers that still run are stopped. Raises NotFound."""
        await self.readable(principal, chat_id)
        await self._remove(chat_id)

    async def delete_all(self, user_id: str) -> int:
        """Take all chats of a user away in the same way, for themself or with them; how many there were."""
        count = 0
        while chat_ids := await self._chats.ids(user_id, DELETE_AT_ONCE):
            await self._remove(*chat_ids)
            count += len(chat_ids)
        return count

    async def append(self, principal: Principal, chat_id: str, messages: Sequence[Message]) -> None:
        """Add messages at the end, whatever the chat's length. Raises NotFound, Conflict where the chat already has one of the ids."""
        await self.readable(principal, chat_id)
        timestamps = [self._timestamps.next() for _ in messages]
        placed = [
            msgspec.structs.replace(message, chat_id=chat_id, position=timestamp, stored=timestamp, posted={})
            for message, timestamp in zip(messages, timestamps, strict=True)
        ]
        try:
            await self._messages.insert(placed)
        except Conflict:
            message = "The chat already has a message with this id. Send another id, or none."
            raise Conflict(message, param="id") from None
        if not await self._chats.touch(chat_id, int(time.time())):
            await self._messages.remove(chat_id, [message.id for message in placed])
            raise NotFound(NO_CHAT)

    async def take_back(self, chat_id: str, message_ids: Sequence[str]) -> None:
        """Take messages out again that were just appended and came to nothing."""
        await self._messages.remove(chat_id, message_ids)
        await self._chats.touch(chat_id, int(time.time()))

    async def detail(self, chat_id: str) -> ChatDetail:
        """A chat with its messages, for a worker whose job was checked when it was made. Raises NotFound where it is gone."""
        chat, messages = await asyncio.gather(self._chats.get(chat_id), self._messages.of_chat(chat_id))
        if chat is None:
            raise NotFound(NO_CHAT)
        return ChatDetail(chat=chat, messages=tuple(messages))

    async def fill(self, chat_id: str, message_id: str, content: Any, extra: Mapping[str, Any]) -> None:
        """Set a message's content, and some of what it holds besides, for a worker. A chat or message deleted meanwhile is no error."""
        if await self._messages.fill(chat_id, message_id, content, msgspec.to_builtins(extra)):
            await self._chats.touch(chat_id, int(time.time()))

    async def note(self, chat_id: str, message_id: str, extra: Mapping[str, Any]) -> None:
        """Set some of what a message holds besides its content, for a worker. A chat or message deleted meanwhile is no error."""
        if await self._messages.note(chat_id, message_id, msgspec.to_builtins(extra)):
            await self._chats.touch(chat_id, int(time.time()))

    async def _remove(self, *chat_ids: str) -> None:
        running: dict[str, list[str]] = {chat_id: [] for chat_id in chat_ids}
        for generation in await self._generations.running(*chat_ids):
            running[generation.chat_id].append(generation.id)
        await self._clear(*chat_ids)
        await self._chats.remove(*chat_ids)
        await self._clear(*chat_ids)  # what was appended while the rest went
        await asyncio.gather(*(self._notifications.announce_deletion(chat_id, stopped) for chat_id, stopped in running.items()))

    async def _clear(self, *chat_ids: str) -> None:
        await asyncio.gather(*(kept.remove_chats(*chat_ids) for kept in (self._messages, self._generations, self._shares)))
