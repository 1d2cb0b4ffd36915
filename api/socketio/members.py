"""One connection in one chat's room: what it has been told, and what it is being told."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import Any

import msgspec

from core.errors import NotFound, PenstockError, Unavailable
from core.events import START, position
from core.logging import get_logger
from core.models.events import ENDS, Delta, Event, Sources, ToolCall, ToolResult
from core.models.generations import GenerationSpec
from core.models.users import Principal
from core.services import Services
from core.services.answers import end_of
from core.services.chats.chats import message_document
from core.services.sources import describe
from core.services.tools import describe_call, describe_calls, describe_result

RETRY_S = 0.5
SUBMITTED_S = 0.02
MAX_NEWS = 256

log = get_logger(face="socketio")


class MessageNews(msgspec.Struct, frozen=True, tag_field="type", tag="message"):
    """A message was stored."""

    message: dict[str, Any]


class GenerationNews(msgspec.Struct, frozen=True, tag_field="type", tag="generation"):
    """An answer begins."""

    id: str


class DeletedNews(msgspec.Struct, frozen=True, tag_field="type", tag="deleted"):
    """The chat is gone."""


class Joined:
    """The member has just come: answers that are being made are told from their start."""


class Gap:
    """Something may have been missed."""


class Check:
    """Something may have changed in what the member may see."""


News = MessageNews | GenerationNews | DeletedNews


class Member:
    """Tells one connection of each message once, and of each answer as it grows.

    A slow connection slows only itself: the rest waits in the log.
    """

    def __init__(  # noqa: PLR0913 - three are what it may do with its connection
        self,
        *,
        services: Services,
        chat_id: str,
        user_id: str,
        after: Mapping[str, str],
        principal: Callable[[], Awaitable[Principal]],
        emit: Callable[[str, Any], Awaitable[None]],
        dismiss: Callable[[PenstockError], Awaitable[None]],
        since: int | None = None,
    ) -> None:
        """``after``: the last event id already seen of each answer; ``since``: the position of the last message seen, None where none was.

        ``principal``: who they are now, asked again with every news; ``emit`` tells them; ``dismiss`` lets them out, and says why.
        """
        self.user_id = user_id
        self._services = services
        self._chat_id = chat_id
        self._seen = dict(after)
        self._principal = principal
        self._emit = emit
        self._dismiss = dismiss
        self._since = time.time_ns() // 1000 if since is None else since
        self._returns = since is not None
        self._told: set[str] = set()
        self._news: asyncio.Queue[News | Joined | Gap | Check] = asyncio.Queue()
        self._feeds: dict[str, asyncio.Task[None]] = {}
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to tell."""
        self.tell(Joined())
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Tell nothing more."""
        tasks = [task for task in (self._task, *self._feeds.values()) if task and task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def tell(self, news: News | Joined | Gap | Check) -> None:
        """Something to tell. One who takes nothing for long gets what is stored, later."""
        if self._news.qsize() >= MAX_NEWS:
            while not self._news.empty():
                self._news.get_nowait()
            news = Gap()
        self._news.put_nowait(news)

    async def _run(self) -> None:
        while True:
            news = await self._news.get()
            try:
                await self._handle(news)
            except Unavailable:
                await asyncio.sleep(RETRY_S)
                self.tell(Gap())
            except PenstockError as error:
                await self._dismiss(error)
                return
            except Exception:
                log.exception("unhandled error", chat_id=self._chat_id)

    async def _handle(self, news: News | Joined | Gap | Check) -> None:
        """Only for those who may still read the chat: PenstockError otherwise."""
        if isinstance(news, DeletedNews):
            message = "The chat was deleted."
            raise NotFound(message)
        principal = await self._principal()
        await self._services.chats.readable(principal, self._chat_id)
        if isinstance(news, MessageNews):
            await self._tell_message(news.message)
        elif isinstance(news, GenerationNews):
            self._follow(principal, news.id)
        elif isinstance(news, Joined | Gap):
            await self._catch_up(principal, missed=isinstance(news, Gap) or self._returns)

    async def _catch_up(self, principal: Principal, *, missed: bool) -> None:
        if missed:
            detail = await self._services.chats.get(principal, self._chat_id)
            for message in detail.messages:
                if message.position <= self._since:
                    continue
                if message.role != "assistant":
                    await self._tell_message(message_document(message))
                elif isinstance(message.extra.get("generation_id"), str):
                    self._follow(principal, message.extra["generation_id"])
        for generation_id in dict.fromkeys((*self._seen, *await self._services.generations.running(self._chat_id))):
            self._follow(principal, generation_id)

    async def _tell_message(self, message: dict[str, Any]) -> None:
        message_id = str(message.get("id"))
        if message_id not in self._told:
            self._told.add(message_id)
            await self._emit("message", {"chat_id": self._chat_id, "message": message, "delta": False})

    def _follow(self, principal: Principal, generation_id: str) -> None:
        if generation_id not in self._feeds:
            self._feeds[generation_id] = asyncio.create_task(self._feed(principal, generation_id))

    async def _feed(self, principal: Principal, generation_id: str) -> None:
        """Tell of an answer to its end, whatever is away meanwhile."""
        tell = self._tell_answer
        while True:
            try:
                return await tell(principal, generation_id)
            except Unavailable:
                await asyncio.sleep(RETRY_S)
            except NotFound:
                if generation_id in await self._services.generations.running(self._chat_id):
                    await asyncio.sleep(SUBMITTED_S)  # its record comes before its job
                elif tell == self._tell_stored:
                    return None
                else:
                    tell = self._tell_stored
            except PenstockError as error:
                log.info("not followed", generation=generation_id, code=error.code)
                return None
            except Exception:
                log.exception("unhandled error", generation=generation_id)
                return None

    async def _tell_answer(self, principal: Principal, generation_id: str) -> None:
        """An answer's pieces, each once, and then the whole."""
        generations, pieces, calls, kept = self._services.generations, list[str](), list[Event](), dict[str, Any]()
        spec = await generations.spec(principal, generation_id)
        if spec.chat_id != self._chat_id:
            return
        async with aclosing(generations.listen(principal, generation_id)) as entries:
            async for entry_id, event in entries:
                pieces.append(event.text if isinstance(event, Delta) and event.choice == 0 else "")
                if isinstance(event, Sources):
                    kept["sources"] = describe(event.sources)
                if isinstance(event, ToolCall | ToolResult):
                    calls.append(event)
                    kept["tool_calls"] = describe_calls(calls)
                message = _told_of(spec, event, "".join(pieces) if isinstance(event, ENDS) else pieces[-1], kept)
                if message and position(entry_id) > position(self._seen.get(generation_id, START)):
                    about = {"delta": not message["done"], "generation_id": spec.id, "event_id": entry_id}
                    await self._emit("message", {"chat_id": self._chat_id, "message": message, **about})
                    self._seen[generation_id] = entry_id

    async def _tell_stored(self, principal: Principal, generation_id: str) -> None:
        """An answer that ended so long ago that its log is gone."""
        detail = await self._services.chats.get(principal, self._chat_id)
        for message in detail.messages:
            if message.extra.get("generation_id") == generation_id and message.extra.get("done"):
                about = {"delta": False, "generation_id": generation_id}
                await self._emit("message", {"chat_id": self._chat_id, "message": message_document(message), **about})


def _told_of(spec: GenerationSpec, event: Event, text: str, kept: dict[str, Any]) -> dict[str, Any] | None:
    """The assistant's message as one event changes it: a piece of it, or the whole at the end; None where there is nothing to tell.

    ``kept``: what is stored with it.
    """
    message: dict[str, Any] = {"id": spec.message_id, "role": "assistant", "content": text, "done": False}
    if isinstance(event, Delta):
        return message | (event.extra or {}) if text or event.extra else None
    if isinstance(event, Sources):
        return message | kept
    if isinstance(event, ToolCall):
        return message | {"tool_call": describe_call(event)}
    if isinstance(event, ToolResult):
        return message | {"tool_result": describe_result(event)}
    if not isinstance(event, ENDS):
        return None
    message |= {"done": True, "model": spec.model, "generation_id": spec.id, "timestamp": spec.created_at}
    return message | kept | end_of(event)
