"""What is asked: requests as they come, and a chat's question as a request and as messages. Pure."""

import uuid
from collections.abc import Sequence
from typing import Any

import msgspec

from core.errors import BadRequest
from core.json.decoding import decode
from core.models.catalog import CustomModel, Model
from core.models.chats import Chat, Message, SendMessage
from core.models.completions import CompletionRequest
from core.models.generations import GenerationSpec
from core.models.pools import Pool
from core.models.sources import Attached
from core.models.users import Principal
from core.services.models.capabilities import check
from core.services.models.parameters import fill_in

PROMPTED = "default"  # of ``function_calling``
ANSWERS = uuid.UUID("6f0d6a3e-9c0b-4c55-8d0a-3f6c2f2f7a10")

_encode = msgspec.json.Encoder().encode


def parse_request(body: bytes) -> CompletionRequest:
    """The OpenAI request in a body. Raises BadRequest that names the field, what was wrong and what is allowed."""
    request = decode(body, CompletionRequest)
    for index, message_ in enumerate(request.messages):
        if not isinstance(message_.get("role"), str):
            field = f"messages[{index}].role"
            text = f"{field}: must be a string such as 'user', 'assistant' or 'system'."
            raise BadRequest(text, param=field)
    return request


def messages_of(
    command: SendMessage, spec: GenerationSpec, principal: Principal, attached: Sequence[Attached] = ()
) -> tuple[Message, Message]:
    """The user's message with what is attached to it, and the empty answer; their places in the chat are given when they are appended.

    The answer's id follows from the message's: of one that is sent twice there is one answer.
    """
    asked = Message(
        id=command.id or str(uuid.uuid4()),
        chat_id=command.chat_id,
        position=0,
        role=command.role,
        content=command.content,
        timestamp=spec.created_at,
        extra={"user_id": principal.id} | ({"files": msgspec.to_builtins(attached)} if attached else {}),
    )
    extra = {"done": False, "generation_id": spec.id, "model": spec.model}
    answer_id = str(uuid.uuid5(ANSWERS, f"{asked.chat_id}/{asked.id}"))
    return asked, msgspec.structs.replace(asked, id=answer_id, role="assistant", content="", extra=extra)


def model_of(chat: Chat) -> str | None:
    """The first model that a chat names. Whatever else a client keeps there names none."""
    models = chat.document.get("models")
    first = next(iter(models), None) if isinstance(models, list) else models
    return first if isinstance(first, str) else None


def request_of(chat: Chat, model: Model, custom: CustomModel | None) -> tuple[CompletionRequest, bytes]:
    """The request that a chat's own parameters make, completed by a custom model's, and its body; a worker puts the messages into it.

    Raises BadRequest that names the parameter at fault as the chat's.
    """
    served = custom.base_model_id if custom else model.id
    given = fill_in({"model": served, "messages": [{"role": "user"}], "stream": True}, _parameters(chat))
    body = _encode(fill_in(given, custom.params) if custom else given)
    try:
        request = parse_request(body)
        if model.pool == Pool.GPU:
            check(request)
    except BadRequest as error:
        fault = f"chat.params.{error.detail}"
        raise type(error)(fault, param=f"chat.params.{error.param}") from None
    return request, body


def is_prompted(model: Model, custom: CustomModel | None, params: Any) -> bool:
    """Whether a model is told of tools in words: local ones know no others, and of the rest Open WebUI's clients may say so."""
    said = next(
        (one["function_calling"] for one in (params, custom and custom.params) if isinstance(one, dict) and "function_calling" in one), None
    )
    return model.pool == Pool.GPU or said == PROMPTED


def _parameters(chat: Chat) -> dict[str, Any]:
    """The sampling parameters that a chat carries, as Open WebUI's clients keep them: its own switches among them."""
    given = chat.document.get("params")
    return given if isinstance(given, dict) else {}
