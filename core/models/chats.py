"""Chats and their messages. A message is a row of its own: appending to a long chat costs what appending to a short one costs."""

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec

from core.models.sources import Attachment

MESSAGE_BYTES = 512


class Chat(msgspec.Struct, frozen=True, kw_only=True):
    """Times are Unix seconds. ``document`` is what the client posted inside ``chat`` without its messages and title.

    ``session`` made it, with the messages that were ``stored`` at that moment (microseconds since 1970).

    ``layout``: where that held its messages: in a ``messages`` list, in a ``history`` tree, or in both.
    """

    id: str
    user_id: str
    title: str
    document: dict[str, Any] = {}
    layout: tuple[str, ...] = ("messages",)
    created_at: int
    updated_at: int
    pinned: bool = False
    archived: bool = False
    share_id: str | None = None
    folder_id: str | None = None
    meta: dict[str, Any] = {}
    session: str = ""
    stored: int = 0


class StampedChat(Chat, frozen=True, kw_only=True):
    """A chat as it was ``touched`` last (microseconds since 1970), marks aside: its messages have not changed since."""

    touched: int


class Message(msgspec.Struct, frozen=True, kw_only=True, gc=False):  # gc: a long chat's rows would set the collector off at each reading
    """One message.

    ``position`` orders a chat's messages (microseconds since 1970 for appended ones); ``extra`` holds whatever else
    was posted with it.

    ``stored``: when it was stored first, in microseconds since 1970.

    ``posted``: where its client's document held it (core.chat_documents.document); empty for a message that was appended.
    """

    id: str
    chat_id: str
    position: int
    role: str
    content: Any
    timestamp: int
    extra: dict[str, Any] = {}
    posted: dict[str, Any] = {}
    stored: int = 0


class VersionedMessage(Message, frozen=True, kw_only=True, gc=False):
    """A message with the moment of its last writing."""

    version: int

    def plain(self) -> Message:
        """The message alone: field by field, because a long chat has many."""
        return Message(
            id=self.id,
            chat_id=self.chat_id,
            position=self.position,
            role=self.role,
            content=self.content,
            timestamp=self.timestamp,
            extra=self.extra,
            posted=self.posted,
            stored=self.stored,
        )


class ChatDetail(msgspec.Struct, frozen=True, kw_only=True):
    """A chat with its messages, in order."""

    chat: Chat
    messages: tuple[Message, ...]


def size_of(messages: Sequence[Message]) -> int:
    """How many bytes of JSON so many messages mostly are."""
    return len(messages) * MESSAGE_BYTES


Time = Annotated[int, msgspec.Meta(ge=0, lt=2**40)]


class ChatImport(msgspec.Struct, frozen=True, kw_only=True):
    """A chat out of a file: what an export wrote of it, of which all but the document may be missing. Times are Unix seconds."""

    chat: dict[str, Any]
    title: str | None = None
    created_at: Time | None = None
    updated_at: Time | None = None
    pinned: bool | None = None
    archived: bool | None = None
    meta: dict[str, Any] | None = None


class SendMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A user's message that asks for an answer. Without ``model``: the chat's first model, else the default one.

    ``files`` and ``knowledge_ids``: what the answer is to stand on, beside what is attached to the chat itself. ``tool_ids``: functions
    that the model may call; without it, those that the chat or the model names.
    """

    chat_id: str
    content: Any
    role: str = "user"
    id: str | None = None
    model: str | None = None
    files: Sequence[Attachment] = ()
    knowledge_ids: Sequence[str] = ()
    tool_ids: Sequence[str] | None = None
