"""The worker's side of an answer: what it is asked about, and where it is kept.

There is no principal here: the job was checked when it was made.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from core.models.chats import ChatDetail
from core.models.events import Cancelled, Event, Failed, Finished
from core.models.generations import GenerationSpec
from core.models.jobs import JobStatus
from core.models.sources import Source
from core.services.chats.chats import Chats
from core.services.sources import describe
from core.storage.generations import Generations


class Answers:
    """Chats and generations, as workers use them. A plain completion touches neither."""

    def __init__(self, rows: Generations, chats: Chats) -> None:
        self._rows = rows
        self._chats = chats

    async def chat(self, spec: GenerationSpec) -> ChatDetail | None:
        """The chat that a job answers in; None for a plain completion. Raises NotFound where the chat is gone."""
        return await self._chats.detail(spec.chat_id) if spec.chat_id else None

    async def save_sources(self, spec: GenerationSpec, sources: Sequence[Source]) -> None:
        """Note with a chat's answer what it stands on. Safe to repeat; a chat deleted meanwhile is no error."""
        if spec.chat_id:
            await self._chats.note(spec.chat_id, spec.message_id or "", {"sources": describe(sources)})

    async def save(self, spec: GenerationSpec, text: str, status: JobStatus, last: Event, calls: Sequence[Mapping[str, Any]] = ()) -> None:
        """Fill the message of a chat's answer and close its generation. Safe to repeat; a chat deleted meanwhile is no error.

        ``calls``: of tools, as they are described.
        """
        usage = last.usage if isinstance(last, Finished) else None
        error = last.detail if isinstance(last, Failed) else None
        await self._chats.fill(
            spec.chat_id or "", spec.message_id or "", text, {"done": True, **end_of(last), **({"tool_calls": calls} if calls else {})}
        )
        await self._rows.finish(spec.id, status, usage=usage, error=error)


def end_of(last: Event) -> dict[str, Any]:
    """How an answer ended, as its message says it: ``usage`` where it is known, or ``error``, or ``stopped``."""
    if isinstance(last, Finished):
        return {"usage": last.usage} if last.usage else {}
    if isinstance(last, Failed):
        return {"error": {"content": last.detail, "code": last.code}}
    return {"stopped": True} if isinstance(last, Cancelled) else {}
