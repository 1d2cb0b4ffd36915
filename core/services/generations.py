"""Answers: asked for, listened to, stopped. The making is a worker's."""

import re
import secrets
import time
import uuid
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import msgspec
from structlog.contextvars import get_contextvars

from core.errors import BadRequest, NotFound
from core.events import START, EventLog, position
from core.jobs import GENERATE
from core.jobs.claims import Claims
from core.jobs.queue import JobQueue
from core.json.decoding import decode
from core.json.offload import offload
from core.models.catalog import CustomModel, Model, Task
from core.models.chats import Chat, Message, SendMessage
from core.models.completions import CompletionRequest
from core.models.events import Event
from core.models.generations import Generation, JobSpec, JobStatus
from core.models.pools import Pool
from core.models.users import Principal
from core.services.chats.chats import Chats
from core.services.models.capabilities import check, check_messages
from core.services.models.models import Models
from core.services.models.parameters import apply_custom_model, fill_in
from core.services.notifications import Notifications
from core.storage.generations import Generations as GenerationRows

SEED_BITS = 63

_encode = msgspec.json.Encoder().encode


class Generations:
    """The service of answers."""

    def __init__(  # noqa: PLR0913 - each by its name, where services are wired
        self,
        *,
        rows: GenerationRows,
        chats: Chats,
        models: Models,
        claims: Claims,
        queue: JobQueue,
        events: EventLog,
        notifications: Notifications,
    ) -> None:
        self._rows = rows
        self._chats = chats
        self._models = models
        self._claims = claims
        self._queue = queue
        self._events = events
        self._notifications = notifications

    async def complete(self, principal: Principal, body: bytes) -> JobSpec:
        """Enqueue a plain OpenAI completion, which touches Redis only. Raises BadRequest naming the field at fault, ModelNotFound."""
        request = await offload(len(body), parse_request, body)
        model, custom = await self._models.resolve(principal, request.model, Task.CHAT)
        seed = request.seed
        if custom:
            body = await offload(len(body), apply_custom_model, body, custom)
            seed = custom.params.get("seed") if seed is None else seed
            request = await offload(len(body), parse_request, body)
        if model.pool == Pool.GPU:
            check(request)
        spec = self._spec(principal, model, seed=seed, body=body, custom=custom)
        self._events.expect(spec.id)
        await self._submit(spec)
        return spec

    async def reply(self, principal: Principal, command: SendMessage) -> tuple[JobSpec, Message, Message]:
        """Store a user's message and an empty answer, and have it made. Raises NotFound for a chat that is not theirs, ModelNotFound."""
        if command.role not in {"user", "system"}:
            message = "The message's role must be 'user' or 'system': the assistant's messages are ours to write."
            raise BadRequest(message, param="role")
        if not command.content or not isinstance(command.content, str | list):
            message = "The message's content must be a string that is not empty, or a list of content parts."
            raise BadRequest(message, param="content")
        chat = await self._chats.readable(principal, command.chat_id)
        wanted = command.model or _named(chat)
        model, custom = await self._models.resolve(principal, wanted or (await self._models.default(principal)).id, Task.CHAT)
        given = fill_in(
            {"model": custom.base_model_id if custom else model.id, "messages": [{"role": "user"}], "stream": True}, _parameters(chat)
        )
        body = _encode(fill_in(given, custom.params) if custom else given)
        local = model.pool == Pool.GPU
        request = _usable(body, local=local)
        if local:
            check_messages([{"content": command.content}])
        spec = self._spec(principal, model, seed=request.seed, body=body, custom=custom)
        asked, answer = _messages(command, spec, principal)
        spec = msgspec.structs.replace(spec, chat_id=chat.id, message_id=answer.id)
        await self._chats.append(principal, chat.id, (asked, answer))
        await self._rows.insert(_document(spec))
        await self._submit(spec)
        await self._notifications.announce_message(asked)
        await self._notifications.announce_answer(chat.id, spec.id, answer.id)
        return spec, asked, answer

    async def spec(self, principal: Principal, generation_id: str) -> JobSpec:
        """A generation that a principal may follow: their own, or one in a chat they may read. Raises NotFound for all others."""
        found = await self._claims.spec(generation_id)
        if found is None or (found.user_id != principal.id and found.chat_id is None):
            raise NotFound(_NO_GENERATION)
        if found.user_id != principal.id and found.chat_id is not None:
            try:
                await self._chats.readable(principal, found.chat_id)
            except NotFound:
                raise NotFound(_NO_GENERATION) from None
        return found

    async def listen(
        self, principal: Principal, generation_id: str, after: str = START, *, field: str = "after", fresh: bool = False
    ) -> AsyncGenerator[tuple[str, Event], None]:
        """A generation's events after an id. Raises NotFound, and BadRequest for an id that is none.

        ``field``: where the client gave the id; ``fresh``: the caller has just enqueued it itself.
        """
        if not re.fullmatch(r"\d{1,15}(-\d{1,15})?", after):
            message = f"{field}: {after[:40]!r} is not an event id such as '1-2'. Send the id of the last event you saw, or nothing."
            raise BadRequest(message, param=field)
        if not fresh:
            await self.spec(principal, generation_id)
        epoch, seq = position(after)
        async with aclosing(self._events.subscribe(generation_id, f"{epoch}-{seq}", fresh=fresh)) as entries:
            async for entry in entries:
                yield entry

    async def stop(self, principal: Principal, generation_id: str) -> None:
        """Stop an answer: between two tokens where it is being made, at once where it still waits.

        One that has ended stays as it is. Raises NotFound.
        """
        spec = await self.spec(principal, generation_id)
        if await self._claims.cancel(spec.id) == "queued" and spec.chat_id and spec.message_id:
            await self._chats.fill(spec.chat_id, spec.message_id, "", {"done": True, "stopped": True})
            await self._rows.finish(spec.id, JobStatus.CANCELLED)

    async def running(self, chat_id: str) -> list[str]:
        """Ids of the answers now being made in a chat, oldest first."""
        return [row.id for row in await self._rows.running(chat_id)]

    def _spec(self, principal: Principal, model: Model, *, seed: int | None, body: bytes, custom: CustomModel | None = None) -> JobSpec:
        return JobSpec(
            id=self._events.new_id(),
            user_id=principal.id,
            model=model.id,
            queue=GENERATE[Pool(model.pool)].queue,
            seed=secrets.randbits(SEED_BITS) if seed is None else seed,
            created_at=int(time.time()),
            body=msgspec.Raw(body),
            request_id=str(get_contextvars().get("request_id", "")),
            base_model=custom.base_model_id if custom else "",
            system=custom.system if custom else "",
        )

    async def _submit(self, spec: JobSpec) -> None:
        await self._claims.submit(spec)
        await self._queue.enqueue(GENERATE[Pool(spec.queue.partition(".")[0])](id=spec.id))


_NO_GENERATION = "There is no such generation. It may have ended more than an hour ago: its text is then in its chat."


def parse_request(body: bytes) -> CompletionRequest:
    """The OpenAI request in a body. Raises BadRequest that names the field, what was wrong and what is allowed."""
    request = decode(body, CompletionRequest)
    for index, message_ in enumerate(request.messages):
        if not isinstance(message_.get("role"), str):
            field = f"messages[{index}].role"
            text = f"{field}: must be a string such as 'user', 'assistant' or 'system'."
            raise BadRequest(text, param=field)
    return request


def _messages(command: SendMessage, spec: JobSpec, principal: Principal) -> tuple[Message, Message]:
    """The user's message and the empty answer; their places in the chat are given when they are appended."""
    asked = Message(
        id=command.id or str(uuid.uuid4()),
        chat_id=command.chat_id,
        position=0,
        role=command.role,
        content=command.content,
        timestamp=spec.created_at,
        extra={"user_id": principal.id},
    )
    extra = {"done": False, "generation_id": spec.id, "model": spec.model}
    return asked, msgspec.structs.replace(asked, id=str(uuid.uuid4()), role="assistant", content="", extra=extra)


def _named(chat: Chat) -> str | None:
    """The first model that a chat names. Whatever else a client keeps there names none."""
    models = chat.document.get("models")
    first = next(iter(models), None) if isinstance(models, list) else models
    return first if isinstance(first, str) else None


def _usable(body: bytes, *, local: bool) -> CompletionRequest:
    """The request that a chat's own parameters make. Raises BadRequest that names the one at fault as the chat's."""
    try:
        request = parse_request(body)
        if local:
            check(request)
    except BadRequest as error:
        fault = f"chat.params.{error.detail}"
        raise type(error)(fault, param=f"chat.params.{error.param}") from None
    return request


def _parameters(chat: Chat) -> dict[str, Any]:
    """The sampling parameters that a chat carries, as Open WebUI's clients keep them: its own switches among them."""
    given = chat.document.get("params")
    return given if isinstance(given, dict) else {}


def _document(spec: JobSpec) -> Generation:
    return Generation(
        id=spec.id,
        user_id=spec.user_id,
        chat_id=spec.chat_id or "",
        message_id=spec.message_id or "",
        model=spec.model,
        status=JobStatus.IN_PROGRESS,
        created_at=spec.created_at,
    )
