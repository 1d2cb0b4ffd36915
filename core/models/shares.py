"""Chats shared: what whoever has the link sees."""

from typing import Any

import msgspec


class Share(msgspec.Struct, frozen=True, kw_only=True):
    """A chat as it was when it was shared, at ``shared_at``. ``id`` is the secret in its address. Times are Unix seconds."""

    id: str
    chat_id: str
    user_id: str
    title: str
    chat: dict[str, Any]
    created_at: int
    updated_at: int
    shared_at: int
