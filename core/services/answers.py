"""The worker's side of an answer: what it is asked about, and where it is kept.

There is no principal here: the job was checked when it was made.
"""

from core.models.chats import ChatDetail
from core.models.events import Event, Failed, Finished
from core.models.generations import GenerationSpec, GenerationStatus
from core.services.chats import Chats
from core.storage.generations import Generations


class Answers:
    """Chats and generations, as workers use them. A plain completion touches neither."""

    def __init__(self, rows: Generations, chats: Chats) -> None:
        self._rows = rows
        self._chats = chats

    async def chat(self, spec: GenerationSpec) -> ChatDetail | None:
        """The chat that a job answers in; None for a plain completion. Raises NotFound where the chat is gone."""
        return await self._chats.detail(spec.chat_id) if spec.chat_id else None

    async def save(self, spec: GenerationSpec, text: str, status: GenerationStatus, last: Event) -> None:
        """Fill the message of a chat's answer and close its generation. Safe to repeat; a chat deleted meanwhile is no error."""
        usage = last.usage if isinstance(last, Finished) else None
        error = last.detail if isinstance(last, Failed) else None
        extra = {"done": True} | ({"usage": usage} if usage else {}) | ({"error": {"content": error}} if error else {})
        await self._chats.fill(spec.chat_id or "", spec.message_id or "", text, extra)
        await self._rows.finish(spec.id, status, usage=usage, error=error)
