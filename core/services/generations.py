"""Answers: asked for, listened to, stopped. The making is a worker's."""

import asyncio
import re
import secrets
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress

import msgspec

from core.errors import BadRequest, Conflict, NotFound, PenstockError
from core.events import START, EventLog, position
from core.jobs import GENERATE, queue_of
from core.jobs.claims import Claims
from core.jobs.queue import JobQueue
from core.jobs.unserved import unserved
from core.json.offload import offload
from core.logging import request_id
from core.models.catalog import CustomModel, Model, Task
from core.models.chats import Message, SendMessage
from core.models.completions import CompletionRequest
from core.models.events import Event, Waiting, first_choice
from core.models.generations import Generation, GenerationSpec
from core.models.jobs import JobSpec, JobStatus
from core.models.pools import Pool
from core.models.sources import LookThrough
from core.models.tools import Tool
from core.models.users import Principal
from core.services.chats.chats import Chats
from core.services.models.capabilities import check, check_messages
from core.services.models.catalogue import Catalogue
from core.services.models.models import Models
from core.services.models.parameters import apply_custom_model
from core.services.notifications import Notifications
from core.services.questions import is_prompted, messages_of, model_of, request_of
from core.services.sources import Sources, attached_to
from core.services.tools import Tools, describe_calls, named_in, names_of
from core.storage.generations import Generations as GenerationRows

SEED_BITS = 63
TAKE_BACK_S = 2.0

_encode = msgspec.json.Encoder().encode


class Generations:
    """The service of answers."""

    def __init__(  # noqa: PLR0913 - each by its name, where services are wired
        self,
        *,
        rows: GenerationRows,
        chats: Chats,
        catalogue: Catalogue,
        models: Models,
        sources: Sources,
        tools: Tools,
        claims: Claims,
        queue: JobQueue,
        events: EventLog,
        notifications: Notifications,
    ) -> None:
        self._rows = rows
        self._chats = chats
        self._catalogue = catalogue
        self._models = models
        self._sources = sources
        self._tools = tools
        self._claims = claims
        self._queue = queue
        self._events = events
        self._notifications = notifications

    async def complete(self, principal: Principal, request: CompletionRequest, body: bytes) -> GenerationSpec:
        """Enqueue a plain OpenAI completion, which touches Redis only, unless it names something to read or to call.

        Raises BadRequest naming the field at fault, ModelNotFound, and NotFound or Forbidden for what is named and not theirs to use.
        ``request``: what ``parse_request`` has read from ``body``.
        """
        model, custom = await self._models.resolve(principal, request.model, Task.CHAT)
        if custom:
            request, body = await offload(len(body), apply_custom_model, request, body, custom)
        if model.pool == Pool.GPU:
            check(request)
        attached = (request.files or (), request.knowledge_ids or ())
        look_through, _ = await self._sources.check(principal, *attached, request.messages)
        tools = await self._tools.check(principal, request.tool_ids, custom, names_of(request.tools))
        if tools and (request.n or 1) > 1:
            message = "n: an answer that may call tools has one choice. Leave it out, or leave out tool_ids."
            raise BadRequest(message, param="n")
        spec = self._spec(
            principal,
            model,
            seed=request.seed,
            custom=custom,
            look_through=look_through,
            tools=() if request.tool_choice == "none" else tools,
            prompted=is_prompted(model, custom, request.params),
        )
        self._events.expect(spec.id)
        await self._submit(spec, model, body)
        return spec

    async def reply(self, principal: Principal, command: SendMessage) -> tuple[GenerationSpec, Message, Message]:
        """Store a user's message and an empty answer, and have it made; of a message that was sent before, the answer that it got.

        Where it cannot be had, nothing is kept. Raises NotFound for a chat that is not theirs, ModelNotFound, Conflict for an id whose
        message is another, and NotFound or Forbidden for what is named and not theirs to use.
        """
        if command.role not in {"user", "system"}:
            message = "The message's role must be 'user' or 'system': the assistant's messages are ours to write."
            raise BadRequest(message, param="role")
        if not command.content or not isinstance(command.content, str | list):
            message = "The message's content must be a string that is not empty, or a list of content parts."
            raise BadRequest(message, param="content")
        chat = await self._chats.readable(principal, command.chat_id)
        wanted = command.model or model_of(chat)
        model, custom = await self._models.resolve(principal, wanted or (await self._models.default(principal)).id, Task.CHAT)
        request, body = request_of(chat, model, custom)
        question = {"role": "user", "content": command.content}
        if model.pool == Pool.GPU:
            check_messages([question])
        files = (*command.files, *attached_to(chat.document))
        look_through, attached = await self._sources.check(principal, files, command.knowledge_ids, [question])
        named = command.tool_ids if command.tool_ids is not None else named_in(chat.document) or None
        spec = self._spec(
            principal,
            model,
            seed=request.seed,
            custom=custom,
            look_through=look_through,
            tools=await self._tools.check(principal, named, custom, names_of(request.tools)),
            prompted=is_prompted(model, custom, chat.document.get("params")),
        )
        asked, answer = messages_of(command, spec, principal, attached)
        spec = msgspec.structs.replace(spec, chat_id=chat.id, message_id=answer.id)
        await self._rows.insert(_document(spec))  # first: whatever breaks off from here on is ended by the reconciliation
        try:
            await self._chats.append(principal, chat.id, (asked, answer))
        except PenstockError as error:
            await self._rows.remove(spec.id)
            before = await self._sent_before(asked, answer) if isinstance(error, Conflict) else None
            if before is None:
                raise
            return before
        try:
            await self._submit(spec, model, body)
        except PenstockError:
            await self._take_back(spec, asked)
            raise
        await self._notifications.announce_message(asked)
        await self._notifications.announce_answer(chat.id, spec.id, answer.id)
        return spec, asked, answer

    async def spec(self, principal: Principal, generation_id: str) -> GenerationSpec:
        """A generation that a principal may follow: their own, or one in a chat they may read. Raises NotFound for all others."""
        job = await self._claims.spec(generation_id)
        found = job.payload_as(GenerationSpec) if job and job.kind in GENERATE.values() else None
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
            log = [event for _, event in await self._events.read(spec.id)]
            calls = {"tool_calls": describe_calls(log)} if spec.tools else {}
            await self._chats.fill(spec.chat_id, spec.message_id, first_choice(log), {"done": True, "stopped": True, **calls})
            await self._rows.finish(spec.id, JobStatus.CANCELLED)

    async def running(self, chat_id: str) -> list[str]:
        """Ids of the answers now being made in a chat, oldest first."""
        return [row.id for row in await self._rows.running(chat_id)]

    def _spec(  # noqa: PLR0913 - each by its name
        self,
        principal: Principal,
        model: Model,
        *,
        seed: int | None,
        custom: CustomModel | None,
        look_through: LookThrough | None,
        tools: tuple[Tool, ...],
        prompted: bool,
    ) -> GenerationSpec:
        return GenerationSpec(
            id=self._events.new_id(),
            user_id=principal.id,
            model=model.id,
            seed=secrets.randbits(SEED_BITS) if seed is None else seed,
            created_at=int(time.time()),
            base_model=custom.base_model_id if custom else "",
            system=custom.system if custom else "",
            look_through=look_through,
            tools=tools,
            prompted=prompted and bool(tools),
        )

    async def _sent_before(self, asked: Message, answer: Message) -> tuple[GenerationSpec, Message, Message] | None:
        """The same message and its answer, where they stand in the chat: whoever never heard what became of it has sent it again."""
        there = {message.id: message for message in (await self._chats.detail(asked.chat_id)).messages}
        first, made = there.get(asked.id), there.get(answer.id)
        row = await self._rows.get(str(made.extra.get("generation_id"))) if made else None
        if first is None or made is None or row is None or (first.role, first.content) != (asked.role, asked.content):
            return None
        return GenerationSpec.of(row), first, made

    async def _take_back(self, spec: GenerationSpec, asked: Message) -> None:
        """Of an answer that could not be asked for. It may have been asked for all the same, where only Redis' answer was lost."""
        with suppress(PenstockError):
            await self._chats.take_back(asked.chat_id, (asked.id, spec.message_id or ""))
            await self._rows.remove(spec.id)
        with suppress(PenstockError, TimeoutError):
            async with asyncio.timeout(TAKE_BACK_S):
                await self._claims.cancel(spec.id)

    async def _submit(self, spec: GenerationSpec, model: Model, body: bytes) -> None:
        kind = GENERATE[Pool(model.pool)]
        job = JobSpec(
            id=spec.id,
            kind=kind,
            queue=queue_of(kind, spec.served),
            owner=spec.user_id,
            created_at=spec.created_at,
            payload=msgspec.Raw(_encode(spec)),
            request_id=request_id(),
        )
        notice = None if spec.served in self._catalogue.known() else Waiting(detail=unserved(job).detail)
        await self._queue.submit(job, body, notice=notice)


_NO_GENERATION = "There is no such generation. It may have ended more than an hour ago: its text is then in its chat."


def _document(spec: GenerationSpec) -> Generation:
    return Generation(
        id=spec.id,
        user_id=spec.user_id,
        chat_id=spec.chat_id or "",
        message_id=spec.message_id or "",
        model=spec.model,
        status=JobStatus.IN_PROGRESS,
        created_at=spec.created_at,
    )
