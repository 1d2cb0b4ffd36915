"""Chats as they are sent. Long ones are kept for whoever asks again, for as long as they stay as they are."""

import time

import msgspec

from api.http.json import encode
from api.rest.chats.schemas import ChatResponse
from core.json.offload import offload
from core.models.chats import ChatDetail, StampedChat, size_of
from core.models.users import Principal
from core.redis.read_markers import DeliveredMessages
from core.services.chats.chats import Chats

WORTH_BYTES = 65_536
ROOM_BYTES = 64 * 1_048_576
KEPT_S = 60.0  # where a writer died between a message and its chat, nothing says that the chat has changed


class CachedResponse(msgspec.Struct, frozen=True):
    """``body``: JSON of a ChatResponse."""

    chat: StampedChat
    body: bytes
    given: DeliveredMessages
    until: float


class ResponseCache:
    """A process keeps its own; whether one is as it was, the store says at each request."""

    def __init__(self, chats: Chats, room: int = ROOM_BYTES) -> None:
        """``room``: bytes, for all that are kept."""
        self._chats = chats
        self._room = room
        self._kept: dict[str, CachedResponse] = {}

    async def get(self, principal: Principal, chat_id: str) -> bytes:
        """A chat's JSON for a client, of which it is noted what it was given. Raises NotFound."""
        chat = await self._chats.stamped(principal, chat_id)
        ready = self._taken(chat)
        if ready is None:
            ready = await self._made(chat)
        if len(ready.body) >= WORTH_BYTES:
            self._keep(ready)
        self._chats.note_delivered(principal, chat_id, ready.given)
        return ready.body

    def _taken(self, chat: StampedChat) -> CachedResponse | None:
        ready = self._kept.get(chat.id)
        return ready if ready and ready.chat == chat and time.monotonic() < ready.until else None

    async def _made(self, chat: StampedChat) -> CachedResponse:
        since = time.time_ns() // 1000
        detail = await self._chats.whole(chat)
        return CachedResponse(chat, await render_chat(detail), DeliveredMessages.of(detail.messages, since), time.monotonic() + KEPT_S)

    def _keep(self, ready: CachedResponse) -> None:
        """As the youngest; the oldest give way."""
        before = self._kept.pop(ready.chat.id, None)
        self._room += (len(before.body) if before else 0) - len(ready.body)
        self._kept[ready.chat.id] = ready
        while self._room < 0:
            self._room += len(self._kept.pop(next(iter(self._kept))).body)


async def render_chat(detail: ChatDetail) -> bytes:
    """A chat as JSON; a long one is written beside the event loop."""
    return await offload(size_of(detail.messages), _written, detail)


def _written(detail: ChatDetail) -> bytes:
    return encode(ChatResponse.whole(detail))
