"""The messages of a chat over REST."""

from typing import Annotated, Any

import msgspec
from aiohttp import web

from api.http.json import json_response, raw_json, read
from api.http.keys import GENERATION_ID, PRINCIPAL, SERVICES
from api.rest.chats.response_cache import render_chat
from core.models.chats import SendMessage
from core.models.sources import MAX_BASES, MAX_FILES, Attachment
from core.models.tools import ToolIds
from core.services.chats.chats import message_document


class SendMessageResponse(msgspec.Struct, frozen=True, kw_only=True):
    """The stored message, and the empty one that the answer is being made for."""

    generation_id: str
    message: dict[str, Any]
    answer: dict[str, Any]


class NewMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A message that asks for an answer. ``files`` and ``knowledge_ids``: what the answer is to stand on.

    ``tool_ids``: functions that the model may call; without it, those that the chat or the model names.
    """

    content: Annotated[Any, msgspec.Meta(extra_json_schema={"type": ["string", "array"], "minLength": 1, "minItems": 1})]
    role: Annotated[str, msgspec.Meta(extra_json_schema={"enum": ["user", "system"]})] = "user"
    id: str | None = None
    model: str | None = None
    files: Annotated[list[Attachment], msgspec.Meta(max_length=MAX_FILES)] = []
    knowledge_ids: Annotated[list[str], msgspec.Meta(max_length=MAX_BASES)] = []
    tool_ids: ToolIds | None = None


class MessageEdit(msgspec.Struct, frozen=True, kw_only=True):
    """What a message says from now on: a text, or a list of content parts."""

    content: str | list[Any]


async def send(request: web.Request) -> web.Response:
    """``POST /api/chats/{chat_id}/messages``: ask for an answer. It is heard at ``/api/generations/{id}/events``, or on any other face."""
    posted = await read(request, NewMessage)
    command = SendMessage(chat_id=request.match_info["chat_id"], **msgspec.structs.asdict(posted))
    spec, asked, reply = await request.app[SERVICES].generations.reply(request[PRINCIPAL], command)
    request[GENERATION_ID] = spec.id
    return json_response(
        SendMessageResponse(generation_id=spec.id, message=message_document(asked), answer=message_document(reply)), status=201
    )


async def edit(request: web.Request) -> web.Response:
    """``POST /api/chats/{chat_id}/messages/{message_id}``: give a message another content."""
    posted = await read(request, MessageEdit)
    chat_id, message_id = request.match_info["chat_id"], request.match_info["message_id"]
    return raw_json(await render_chat(await request.app[SERVICES].chats.edit(request[PRINCIPAL], chat_id, message_id, posted.content)))


async def delete(request: web.Request) -> web.Response:
    """``DELETE /api/chats/{chat_id}/messages/{message_id}``: take a message out of a chat. What hung below it hangs below its parent."""
    chat_id, message_id = request.match_info["chat_id"], request.match_info["message_id"]
    return raw_json(await render_chat(await request.app[SERVICES].chats.remove(request[PRINCIPAL], chat_id, message_id)))
