"""Chats over REST."""

import re
from typing import Any

import msgspec
from aiohttp import web

from api.bodies import answer, read
from api.keys import GENERATION_ID, PRINCIPAL, SERVICES
from core.errors import BadRequest
from core.models.chats import Chat, ChatDetail, SendMessage
from core.services.chats import as_document, message_document

MAX_PAGE = 1_000


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
    """``GET /api/chats/``: one's own, newest change first; whole, or ``?limit=`` many after ``?after=<the last one's id>``."""
    chats = await request.app[SERVICES].chats.list(request[PRINCIPAL], limit=_limit(request), after=request.query.get("after"))
    return answer([_row(chat) for chat in chats])


async def get(request: web.Request) -> web.Response:
    """``GET /api/chats/{chat_id}``."""
    return answer(_whole(await request.app[SERVICES].chats.get(request[PRINCIPAL], request.match_info["chat_id"])))


async def create(request: web.Request) -> web.Response:
    """``POST /api/chats/new``."""
    posted = await read(request, Posted)
    return answer(_whole(await request.app[SERVICES].chats.create(request[PRINCIPAL], posted.chat)), status=201)


async def update(request: web.Request) -> web.Response:
    """``POST /api/chats/{chat_id}``: a shallow merge; messages that are not sent are kept."""
    posted = await read(request, Posted)
    return answer(_whole(await request.app[SERVICES].chats.update(request[PRINCIPAL], request.match_info["chat_id"], posted.chat)))


async def delete(request: web.Request) -> web.Response:
    """``DELETE /api/chats/{chat_id}``."""
    await request.app[SERVICES].chats.delete(request[PRINCIPAL], request.match_info["chat_id"])
    return answer(True)  # noqa: FBT003 - the whole body, as clients know it


async def send(request: web.Request) -> web.Response:
    """``POST /api/chats/{chat_id}/messages``: ask. The answer is heard at ``/api/generations/{id}/events``, or on any other face."""
    posted = await read(request, PostedMessage)
    command = SendMessage(chat_id=request.match_info["chat_id"], content=posted.content, role=posted.role, id=posted.id, model=posted.model)
    spec, asked, reply = await request.app[SERVICES].generations.reply(request[PRINCIPAL], command)
    request[GENERATION_ID] = spec.id
    return answer({"generation_id": spec.id, "message": message_document(asked), "answer": message_document(reply)}, status=201)


def _limit(request: web.Request) -> int | None:
    given = request.query.get("limit")
    if given is None:
        return None
    if not re.fullmatch(r"[0-9]{1,4}", given) or not 1 <= int(given) <= MAX_PAGE:
        message = f"limit: a whole number from 1 to {MAX_PAGE}, or leave it out."
        raise BadRequest(message, param="limit")
    return int(given)


def _row(chat: Chat) -> dict[str, Any]:
    return {
        "id": chat.id,
        "user_id": chat.user_id,
        "title": chat.title,
        "created_at": chat.created_at,
        "updated_at": chat.updated_at,
        "pinned": chat.pinned,
        "archived": chat.archived,
        "share_id": chat.share_id,
        "folder_id": chat.folder_id,
    }


def _whole(detail: ChatDetail) -> dict[str, Any]:
    return {**_row(detail.chat), "meta": detail.chat.meta, "chat": as_document(detail)}
