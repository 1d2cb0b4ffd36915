"""Chats as programs get them."""

from typing import Any

import msgspec

from core.models.chats import Chat, ChatDetail
from core.services.chats.chats import as_document


class ChatSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A chat in a list. Times are Unix seconds."""

    id: str
    user_id: str
    title: str
    created_at: int
    updated_at: int
    pinned: bool
    archived: bool
    share_id: str | None
    folder_id: str | None

    @classmethod
    def of(cls, chat: Chat) -> "ChatSummary":
        """From the model."""
        return cls(
            id=chat.id,
            user_id=chat.user_id,
            title=chat.title,
            created_at=chat.created_at,
            updated_at=chat.updated_at,
            pinned=chat.pinned,
            archived=chat.archived,
            share_id=chat.share_id,
            folder_id=chat.folder_id,
        )


class ChatResponse(ChatSummary, frozen=True, kw_only=True):
    """A chat with what its client posted inside ``chat``, its messages among it."""

    meta: dict[str, Any]
    chat: dict[str, Any]

    @classmethod
    def whole(cls, detail: ChatDetail) -> "ChatResponse":
        """From the model."""
        row = ChatSummary.of(detail.chat)
        return cls(**msgspec.structs.asdict(row), meta=detail.chat.meta, chat=as_document(detail))
