"""The chats that this process's sockets are in.

Each process feeds its own sockets from the same logs and topics, so the death of another one changes nothing.
"""

import asyncio
from collections.abc import Awaitable, Callable

import msgspec

from api.members import Gap, Member, News
from core.logging import get_logger
from core.services import Services
from core.services.presence import KEPT_MS, Presence
from core.services.rooms import chat_topic

RENEW_S = KEPT_MS / 1000 / 3

log = get_logger(face="socketio")

_decode = msgspec.json.Decoder(News).decode

Announce = Callable[[str, str, str, str | None], Awaitable[None]]


class Room:
    """One chat: hears its news and hands them to its members."""

    def __init__(self, services: Services, chat_id: str) -> None:
        self.members: dict[str, Member] = {}
        self.listening = asyncio.Event()
        self._services = services
        self._chat_id = chat_id
        self._task = asyncio.create_task(self._hear())

    async def close(self) -> None:
        """For when the last member has left."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _hear(self) -> None:
        async for payload in self._services.events.hear(chat_topic(self._chat_id)):
            if payload is not None:
                self._tell(payload)
            elif self.listening.is_set():
                for member in self.members.values():
                    member.tell(Gap())
            self.listening.set()

    def _tell(self, payload: bytes) -> None:
        try:
            news = _decode(payload)
        except msgspec.DecodeError:
            log.warning("news not understood", chat_id=self._chat_id)
            return
        for member in self.members.values():
            member.tell(news)


class Rooms:
    """All of a process."""

    def __init__(self, services: Services, presence: Presence, announce: Announce) -> None:
        """``announce(event, chat_id, user_id, skip_sid)`` tells everybody in a chat, on every process."""
        self._services = services
        self._presence = presence
        self._announce = announce
        self._rooms: dict[str, Room] = {}
        self._renewing: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Keep the members known to be there."""
        self._renewing = asyncio.create_task(self._renew())

    async def close(self) -> None:
        """Everybody leaves."""
        for chat_id, room in list(self._rooms.items()):
            for sid in list(room.members):
                await self.leave(sid, chat_id)
        if self._renewing:
            self._renewing.cancel()
            await asyncio.gather(self._renewing, return_exceptions=True)

    async def join(self, sid: str, chat_id: str, member: Member) -> None:
        """A connection whose user may read the chat comes in. Once in, joining again changes nothing."""
        room = self._rooms.get(chat_id)
        if room is None:
            room = self._rooms[chat_id] = Room(self._services, chat_id)
        if sid in room.members:
            return
        room.members[sid] = member
        await room.listening.wait()
        member.start()
        first, gone = await self._presence.join(chat_id, member.user_id, sid)
        if first:
            await self._announce("user_join", chat_id, member.user_id, sid)
        await self._announce_gone(chat_id, gone)

    async def leave(self, sid: str, chat_id: str) -> None:
        """A connection goes out; one that is not in does nothing."""
        room = self._rooms.get(chat_id)
        member = room.members.pop(sid, None) if room else None
        if room is None or member is None:
            return
        if not room.members:
            del self._rooms[chat_id]
            await room.close()
        await self._announce_gone(chat_id, await self._presence.leave(chat_id, member.user_id, sid))
        await member.stop()

    async def leave_all(self, sid: str) -> None:
        """A connection is gone."""
        for chat_id in [chat_id for chat_id, room in self._rooms.items() if sid in room.members]:
            await self.leave(sid, chat_id)

    async def _announce_gone(self, chat_id: str, user_ids: list[str]) -> None:
        for user_id in user_ids:
            await self._announce("user_leave", chat_id, user_id, None)

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(RENEW_S)
            for chat_id, room in list(self._rooms.items()):
                members = [(member.user_id, sid) for sid, member in room.members.items()]
                try:
                    await self._announce_gone(chat_id, await self._presence.renew(chat_id, members))
                except Exception as error:  # noqa: BLE001 - the next turn may do better
                    log.warning("presence not renewed", why=str(error))
