"""Chats found by what stands in them."""

from core.models.chats import Chat
from core.models.users import Principal
from core.storage.chats import Chats as ChatRows
from core.storage.messages import Messages as MessageRows
from core.storage.records.port import fold_case

LOOK_AT_ONCE = 250


class ChatSearch:
    """Looks through a user's chats from the newest on, some at a time, and stops when it has enough.

    No question keeps the store busy for long, and the more often a word is said, the sooner it is found.
    """

    def __init__(self, chats: ChatRows, messages: MessageRows) -> None:
        self._chats = chats
        self._messages = messages

    async def find(self, principal: Principal, text: str, *, limit: int, skip: int = 0) -> list[Chat]:
        """Their own whose title or a message of which holds ``text``, newest change first; without the ``skip`` first."""
        wanted, found, seen = fold_case(text), dict[str, Chat](), 0
        while len(found) < skip + limit:
            looked_at = await self._chats.of_user(principal.id, {}, limit=LOOK_AT_ONCE, skip=seen)
            if not looked_at:
                break
            seen += len(looked_at)
            titled = {chat.id for chat in looked_at if wanted in fold_case(chat.title)}
            others = [chat.id for chat in looked_at if chat.id not in titled]
            holding = titled | (await self._messages.find_chats_holding(others, text) if others else set())
            found |= {chat.id: chat for chat in looked_at if chat.id in holding}
        return list(found.values())[skip : skip + limit]
