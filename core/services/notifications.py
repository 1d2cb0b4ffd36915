"""What those who follow a chat are told as it happens: new messages, answers that begin, the chat's end. Nothing is kept."""

from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from typing import Any

import msgspec

from core.chat_documents.document import message_document
from core.errors import Unavailable
from core.events import EventLog
from core.jobs.claims import Claims
from core.models.chats import Message

_encode = msgspec.json.Encoder().encode


REVOKED = "revoked"

AnnounceRevocation = Callable[[str], Awaitable[None]]


def chat_topic(chat_id: str) -> str:
    """Where a chat's news are told."""
    return f"chat:{chat_id}"


class Notifications:
    """The telling."""

    def __init__(self, claims: Claims, events: EventLog) -> None:
        self._claims = claims
        self._events = events

    async def announce_message(self, message: Message) -> None:
        """A message was stored."""
        await self._tell(message.chat_id, {"type": "message", "message": message_document(message)})

    async def announce_answer(self, chat_id: str, generation_id: str, message_id: str) -> None:
        """An answer begins."""
        await self._tell(chat_id, {"type": "generation", "id": generation_id, "message_id": message_id})

    async def stop_unwanted(self, generation_id: str) -> bool:
        """Nobody is to read an answer any more: it is stopped. Whether it had not begun, so that nobody else will say that it has ended."""
        return await self._claims.cancel(generation_id) == "queued"

    async def announce_deletion(self, chat_id: str, running: Iterable[str]) -> None:
        """The chat was deleted: answers that still run for it are stopped."""
        for generation_id in running:
            await self._claims.cancel(generation_id)
        await self._tell(chat_id, {"type": "deleted"})

    async def announce_revocation(self, user_id: str) -> None:
        """A user may do less than before, by one of their tokens or by all: whoever listens for them is to ask again.

        A Redis that is away is no reason to fail: they ask from time to time anyway.
        """
        with suppress(Unavailable):
            await self._events.notify(REVOKED, user_id.encode())

    async def _tell(self, chat_id: str, news: dict[str, Any]) -> None:
        with suppress(Unavailable):  # what happened is stored, and told to whoever asked for it
            await self._events.notify(chat_topic(chat_id), _encode(news))
