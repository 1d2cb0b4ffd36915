"""Chats over REST."""

from typing import Annotated, Any

import msgspec
from aiohttp import web

from api.bodies import answer, query, read
from api.keys import GENERATION_ID, PRINCIPAL, SERVICES
from core.models.chats import Chat, ChatDetail, SendMessage
from core.services.chats import as_document, message_document

MAX_PAGE = 1_000


class ListChats(msgspec.Struct, frozen=True, kw_only=True):
    """``after``: the id of the last chat of the page before."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=MAX_PAGE)] | None = None
    after: str | None = None


class ChatRow(msgspec.Struct, frozen=True, kw_only=True):
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
    def of(cls, chat: Chat) -> "ChatRow":
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


class ChatWhole(ChatRow, frozen=True, kw_only=True):
    """A chat with what its client posted inside ``chat``, its messages among it."""

    meta: dict[str, Any]
    chat: dict[str, Any]


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """The stored message, and the empty one that the answer is being made for."""

    generation_id: str
    message: dict[str, Any]
    answer: dict[str, Any]


class Posted(msgspec.Struct, frozen=True, kw_only=True):
    """A chat as clients post it: any JSON object. What it must hold, the service says."""

    chat: dict[str, Any]


class PostedMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A message that asks for an answer."""

    content: Any
    role: str = "user"
    id: str | None = None
    model: str | None = None


async def list_(request: web.Request) -> web.Response:
    """``GET /api/chats/``: one's own chats, newest change first. Whole, or ``?limit=`` many after ``?after=<the last one's id>``."""
    wanted = query(request, ListChats)
    chats = await request.app[SERVICES].chats.list(request[PRINCIPAL], limit=wanted.limit, after=wanted.after)
    return answer([ChatRow.of(chat) for chat in chats])


async def get(request: web.Request) -> web.Response:
    """``GET /api/chats/{chat_id}``: a chat with its messages."""
    return answer(_whole(await request.app[SERVICES].chats.get(request[PRINCIPAL], request.match_info["chat_id"])))


async def create(request: web.Request) -> web.Response:
    """``POST /api/chats/new``: begin a chat."""
    posted = await read(request, Posted)
    return answer(_whole(await request.app[SERVICES].chats.create(request[PRINCIPAL], posted.chat)), status=201)


async def update(request: web.Request) -> web.Response:
    """``POST /api/chats/{chat_id}``: change a chat. A shallow merge; messages that are not sent are kept."""
    posted = await read(request, Posted)
    return answer(_whole(await request.app[SERVICES].chats.update(request[PRINCIPAL], request.match_info["chat_id"], posted.chat)))


async def delete(request: web.Request) -> web.Response:
    """``DELETE /api/chats/{chat_id}``: delete a chat with its messages."""
    await request.app[SERVICES].chats.delete(request[PRINCIPAL], request.match_info["chat_id"])
    return answer(True)  # noqa: FBT003 - the whole body, as clients know it


async def send(request: web.Request) -> web.Response:
    """``POST /api/chats/{chat_id}/messages``: ask for an answer. It is heard at ``/api/generations/{id}/events``, or on any other face."""
    posted = await read(request, PostedMessage)
    command = SendMessage(chat_id=request.match_info["chat_id"], content=posted.content, role=posted.role, id=posted.id, model=posted.model)
    spec, asked, reply = await request.app[SERVICES].generations.reply(request[PRINCIPAL], command)
    request[GENERATION_ID] = spec.id
    return answer(Asked(generation_id=spec.id, message=message_document(asked), answer=message_document(reply)), status=201)


def _whole(detail: ChatDetail) -> ChatWhole:
    row = ChatRow.of(detail.chat)
    return ChatWhole(**msgspec.structs.asdict(row), meta=detail.chat.meta, chat=as_document(detail))
