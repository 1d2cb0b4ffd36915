"""Chats shown to others: a picture of the moment, at an address that nobody can guess."""

import secrets
import time

from core.chat_documents.document import as_document
from core.errors import NotFound
from core.models.chats import Chat
from core.models.shares import Share
from core.models.users import Principal, User
from core.services.chats.chats import Chats
from core.storage.chats import Chats as ChatRows
from core.storage.shares import Shares as ShareRows
from core.storage.users import Users as UserRows

ID_BYTES = 24


class Shares:
    """The service of shares. One is open for as long as its chat names it, and its chat and its user are there."""

    def __init__(self, chats: Chats, rows: ChatRows, shares: ShareRows, users: UserRows) -> None:
        self._chats = chats
        self._rows = rows
        self._shares = shares
        self._users = users

    async def share(self, principal: Principal, chat_id: str) -> tuple[Chat, str]:
        """Share one of theirs as it is now, and its share's id; sharing it again keeps the id. Raises NotFound."""
        while True:
            detail = await self._chats.get(principal, chat_id)
            chat, share_id = detail.chat, detail.chat.share_id or secrets.token_urlsafe(ID_BYTES)
            if chat.share_id or await self._rows.mark(chat_id, "share_id", share_id, was=None):
                break
        share = Share(
            id=share_id,
            chat_id=chat_id,
            user_id=principal.id,
            title=chat.title,
            chat=as_document(detail),
            created_at=chat.created_at,
            updated_at=chat.updated_at,
            shared_at=int(time.time()),
        )
        await self._shares.put(share)
        current = await self._rows.get(chat_id)
        if current is None:  # deleted meanwhile
            await self._shares.remove_chats(chat_id)
            raise NotFound(_CLOSED)
        return current, share_id

    async def unshare(self, principal: Principal, chat_id: str) -> bool:
        """Close the share of one of theirs; whether it had one. Raises NotFound for a chat that is not theirs."""
        while (share_id := (await self._chats.readable(principal, chat_id)).share_id) is not None:
            if await self._rows.mark(chat_id, "share_id", None, was=share_id):
                await self._shares.remove_chats(chat_id)
                return True
        return False

    async def get(self, share_id: str) -> tuple[Share, User]:
        """What is shared, and by whom. Raises NotFound where it was closed, or its chat or user is gone."""
        share = await self._shares.get(share_id)
        chat = await self._rows.get(share.chat_id) if share else None
        owner = await self._users.get(share.user_id) if share else None
        if share is None or owner is None or chat is None or chat.share_id != share_id:
            raise NotFound(_CLOSED)
        return share, owner


_CLOSED = "This chat is not shared, or no longer."
