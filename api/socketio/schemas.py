"""What Socket.IO's clients send, and how they are told of what went wrong."""

from typing import Annotated, Any

import msgspec

from core.errors import PenstockError
from core.models.sources import MAX_BASES, MAX_FILES, Attachment
from core.models.tools import ToolIds

MAX_RESUMED = 64

EventId = Annotated[str, msgspec.Meta(pattern=r"^[0-9]{1,15}(-[0-9]{1,15})?$")]


class Join(msgspec.Struct, frozen=True, kw_only=True):
    """A room, and for one who comes back what they heard before: the last event id of each answer, and the last user's message."""

    chat_id: str
    after: Annotated[dict[str, EventId], msgspec.Meta(max_length=MAX_RESUMED)] = {}
    last_message_id: str | None = None


class Leave(msgspec.Struct, frozen=True, kw_only=True):
    """A room."""

    chat_id: str


class Stop(msgspec.Struct, frozen=True, kw_only=True):
    """All answers that are being made in a chat, or one of them."""

    chat_id: str | None = None
    generation_id: str | None = None


class SentMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A user's message. ``files`` and ``knowledge_ids``: what the answer is to stand on. ``tool_ids``: what the model may call."""

    role: str = "user"
    content: Any = None
    id: str | None = None
    files: Annotated[list[Attachment], msgspec.Meta(max_length=MAX_FILES)] = []
    knowledge_ids: Annotated[list[str], msgspec.Meta(max_length=MAX_BASES)] = []
    tool_ids: ToolIds | None = None


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """A message with its room."""

    chat_id: str
    message: SentMessage
    model: str | None = None


def describe_error(error: PenstockError) -> dict[str, Any]:
    """An error in the one shape: ``retry_after`` (seconds) only where waiting helps."""
    return {"detail": error.detail, "code": error.code} | ({"retry_after": error.retry_after} if error.retry_after is not None else {})
