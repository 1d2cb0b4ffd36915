"""Chats copied: one beside itself, all of them out into a file."""

from collections.abc import AsyncGenerator, Sequence
from typing import Any

from core.chat_documents.document import as_document
from core.models.chats import ChatDetail
from core.models.users import Principal
from core.services.chats.chats import Chats
from core.services.chats.shares import Shares
from core.storage.chats import Chats as ChatRows

READ_AT_ONCE = 50


class ChatCopies:
    """The copying. Copies are new chats of whoever makes them."""

    def __init__(self, chats: Chats, rows: ChatRows, shares: Shares) -> None:
        self._chats = chats
        self._rows = rows
        self._shares = shares

    async def clone(self, principal: Principal, chat_id: str, title: str | None = None) -> ChatDetail:
        """A copy of one of theirs as it is now. Raises NotFound."""
        original = await self._chats.get(principal, chat_id)
        return await self._chats.create(principal, _named(as_document(original), title))

    async def clone_shared(self, principal: Principal, share_id: str, title: str | None = None) -> ChatDetail:
        """A copy of what anybody shares. Raises NotFound."""
        share, _ = await self._shares.get(share_id)
        return await self._chats.create(principal, _named(share.chat, title))

    async def all(self, principal: Principal) -> AsyncGenerator[Sequence[ChatDetail], None]:
        """All of theirs, newest change first, some at a time; what is deleted meanwhile is left out."""
        chat_ids = await self._rows.ids(principal.id)
        for start in range(0, len(chat_ids), READ_AT_ONCE):
            yield await self._chats.several(principal, chat_ids[start : start + READ_AT_ONCE])


def _named(document: dict[str, Any], title: str | None) -> dict[str, Any]:
    return {**document, "title": title or f"Clone of {document['title']}"}
