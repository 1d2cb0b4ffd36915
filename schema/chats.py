"""Chats and their messages."""

from datetime import datetime
from typing import Self

import strawberry
from strawberry.scalars import JSON

from core.models import chats as models
from schema.context import Info
from schema.generations import Usage
from schema.pages import After, Before, Connection, First, Last, PageArguments, Window
from schema.times import to_datetime


@strawberry.type(description="One message of a chat.")
class Message:
    """Projection of core.models.chats.Message; what EXTRA names comes from its ``extra``."""

    EXTRA = frozenset({"done", "generation_id", "model", "usage", "error", "sources", "files", "tool_calls"})

    id: strawberry.ID
    chat_id: strawberry.ID
    role: str
    content: JSON = strawberry.field(description="The text, or OpenAI content parts where it was sent as parts.")
    timestamp: datetime
    done: bool = strawberry.field(description="False while an answer is still being made.")
    generation_id: strawberry.ID | None = strawberry.field(description="Follow it with the `generation` subscription.")
    model: str | None = strawberry.field(description="The model that answered.")
    usage: Usage | None = strawberry.field(description="The tokens of a finished answer.")
    error: JSON | None = strawberry.field(description="Why an answer failed.")
    files: JSON | None = strawberry.field(description="What is attached to a question: a list of `{type, id, name}`.")
    sources: JSON | None = strawberry.field(description="The passages that an answer stands on, as Open WebUI's clients read them.")

    tool_calls: JSON | None = strawberry.field(
        description="Tools that were called for an answer: a list of `{key, name, arguments}` with `result` or `error`."
    )

    @classmethod
    def of(cls, model: models.Message) -> Self:
        """From the model."""
        extra = model.extra
        generation_id = extra.get("generation_id")
        return cls(
            id=strawberry.ID(model.id),
            chat_id=strawberry.ID(model.chat_id),
            role=model.role,
            content=model.content,
            timestamp=to_datetime(model.timestamp),
            done=bool(extra.get("done", True)),
            generation_id=None if generation_id is None else strawberry.ID(str(generation_id)),
            model=extra.get("model"),
            usage=Usage.posted(extra.get("usage")),
            error=extra.get("error"),
            files=extra.get("files"),
            sources=extra.get("sources"),
            tool_calls=extra.get("tool_calls"),
        )


@strawberry.type(description="A conversation.")
class Chat:
    """Projection of core.models.chats.Chat."""

    id: strawberry.ID
    title: str
    document: JSON = strawberry.field(description="What its client posted, without title and messages: models, parameters, …")
    created_at: datetime
    updated_at: datetime
    pinned: bool
    archived: bool
    share_id: strawberry.ID | None
    folder_id: strawberry.ID | None

    @classmethod
    def of(cls, model: models.Chat) -> Self:
        """From the model."""
        return cls(
            id=strawberry.ID(model.id),
            title=model.title,
            document=JSON(model.document),
            created_at=to_datetime(model.created_at),
            updated_at=to_datetime(model.updated_at),
            pinned=model.pinned,
            archived=model.archived,
            share_id=None if model.share_id is None else strawberry.ID(model.share_id),
            folder_id=None if model.folder_id is None else strawberry.ID(model.folder_id),
        )

    @strawberry.field(description="Its messages, oldest first; without arguments the newest page.")
    async def messages(
        self, info: Info, first: First = None, after: After = None, last: Last = None, before: Before = None
    ) -> Connection[Message]:
        """One page of the history."""
        history = await info.context.histories.load(self.id)
        page = Window.cut(history, _message_cursor, PageArguments(first, after, last, before))
        return Connection[Message].of(info, page, Message.of, _message_cursor)


def _message_cursor(message: models.Message) -> str:
    return message.id
