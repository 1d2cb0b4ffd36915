"""Chats written by several at once: nobody's message is lost. docs/decisions/0006 has the rule."""

import asyncio
import random
import time
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Any, TypeVar

from core.chat_documents import edits
from core.chat_documents.document import TREE, Parts, estimate_bytes, split_document, without_null_messages
from core.chat_documents.merge import Merge
from core.errors import Conflict, NotFound
from core.json.offload import offload
from core.models.chats import Chat, ChatDetail, Message, size_of
from core.models.users import Principal
from core.redis.read_markers import ReadMarkers, SeenMessages
from core.storage.chats import Chats as ChatRows
from core.storage.messages import Messages as MessageRows

ATTEMPTS = 60
PAUSE_S = 0.002
WRITE_AT_ONCE = 200
NO_CHAT = "There is no such chat. It may have been deleted, or belong to somebody else."

Json = dict[str, Any]
AnyChat = TypeVar("AnyChat", bound=Chat)


def require_owner(principal: Principal, chat: AnyChat | None) -> AnyChat:
    """The chat, if it is theirs: the one place that decides. Raises NotFound."""
    if chat is None or chat.user_id != principal.id:
        raise NotFound(NO_CHAT)
    return chat


class ChatWrites:
    """A row is written only if nobody has written it since it was read; whoever comes second reads again and merges again.

    New messages first, then changed ones, then the chat, and last of all what is taken out: whatever breaks off between loses none.
    """

    def __init__(self, chats: ChatRows, messages: MessageRows, read_markers: ReadMarkers) -> None:
        self._chats = chats
        self._messages = messages
        self._read_markers = read_markers

    async def update(self, principal: Principal, chat_id: str, document: Json) -> ChatDetail:
        """Merge a posted document into a chat. Of its messages only those that the client had been given can be left out."""
        size = estimate_bytes(document)
        pieces = await offload(size, split_document, document)
        if pieces.listed is None and pieces.document.get(TREE) is None:
            return await self._merge(principal, chat_id, pieces)
        before = self._read_markers.find_seen(principal, chat_id)
        detail, posted = await self._write(principal, chat_id, partial(_again, without_null_messages(document)), before, size)
        sent = edits.message_ids(posted)
        self._read_markers.note_sent(principal, chat_id, [message for message in detail.messages if message.id in sent])
        return detail

    async def edit(self, principal: Principal, chat_id: str, message_id: str, content: Any) -> ChatDetail:
        """Give one message another content. Raises NotFound."""
        detail, _ = await self._write(principal, chat_id, lambda there: edits.edit_message(there, message_id, content), ())
        return detail

    async def remove(self, principal: Principal, chat_id: str, message_id: str) -> ChatDetail:
        """Take one message out. Raises NotFound."""
        detail, _ = await self._write(principal, chat_id, lambda there: edits.remove_message(there, message_id), (message_id,))
        return detail

    async def _merge(self, principal: Principal, chat_id: str, pieces: Parts) -> ChatDetail:
        """Without messages: of two who change different fields at once neither is lost, because the row is compared and set."""
        for attempt in range(ATTEMPTS):
            old, version = await self._read(principal, chat_id)
            chat = edits.replace_document(old, pieces.title, edits.merge_fields(old, pieces), old.layout, int(time.time()))
            if await self._chats.change(chat, version):
                return ChatDetail(chat=chat, messages=tuple(await self._messages.of_chat(chat_id)))
            await _pause(attempt)
        raise _too_many()

    async def _write(
        self, principal: Principal, chat_id: str, change: Callable[[Json], Json], may_go: SeenMessages | Collection[str], size: int = 0
    ) -> tuple[ChatDetail, Json]:
        """The chat as it is afterwards, and what was posted, of about ``size`` bytes, with the ids that its messages got."""
        for attempt in range(ATTEMPTS):
            try:
                old, version = await self._read(principal, chat_id)
            except NotFound:
                if attempt:  # it was deleted while this was written
                    await self._messages.remove_chats(chat_id)
                raise
            there = await self._messages.versioned(chat_id)
            size = max(size, size_of(there))
            merge = await offload(size, Merge, old, there, change)
            kept = await _unknown(principal, old, may_go, merge.missing) if merge.missing else []
            if kept:
                await offload(size, merge.keep, {message.id for message in kept})
            if await self._put(merge) and await self._chats.change(merge.detail.chat, version):
                if merge.missing:
                    await self._messages.remove(chat_id, [message.id for message in merge.missing])
                    await self._chats.touch(chat_id, merge.detail.chat.updated_at)
                return merge.detail, merge.posted
            if isinstance(may_go, SeenMessages):
                change = partial(_again, merge.posted)
            await _pause(attempt)
        raise _too_many()

    async def _read(self, principal: Principal, chat_id: str) -> tuple[Chat, int]:
        found = await self._chats.versioned(chat_id)
        return require_owner(principal, found[0] if found else None), found[1] if found else 0

    async def _put(self, merge: Merge) -> bool:
        """Write what is new and what differs; whether nobody else has written any of it meanwhile."""
        try:
            await self._messages.insert(merge.added)
        except Conflict:
            return False
        for start in range(0, len(merge.altered), WRITE_AT_ONCE):
            writing = merge.altered[start : start + WRITE_AT_ONCE]
            written = await asyncio.gather(*(self._messages.change(message, merge.versions[message.id]) for message in writing))
            if not all(written):
                return False
        return True


def _again(document: Json, _: Json) -> Json:
    return document


async def _unknown(principal: Principal, chat: Chat, may_go: SeenMessages | Collection[str], missing: Sequence[Message]) -> list[Message]:
    """Those that stay: whoever made a chat knows what it was made with."""
    if not isinstance(may_go, SeenMessages):
        return [message for message in missing if message.id not in may_go]
    made = chat.stored if chat.session == principal.client else None
    return await may_go.unseen([message for message in missing if message.stored != made])


async def _pause(attempt: int) -> None:
    await asyncio.sleep(random.uniform(0, PAUSE_S * min(attempt + 1, 10)))  # noqa: S311 - so that those who collide part


def _too_many() -> Conflict:
    return Conflict("This chat is being changed by too many at once. Read it again, then repeat the change.")
