"""The chats that this process's sockets are in.

Each process feeds its own sockets from the same logs and topics, so the death of another one changes nothing.
"""

import asyncio
from collections.abc import Awaitable, Callable

import msgspec

from api.socketio.members import Check, Gap, Member, News
from core.logging import get_logger
from core.redis.presence import RENEW_S
from core.services import Services
from core.services.notifications import chat_topic

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

    def __init__(self, services: Services, announce: Announce) -> None:
        """``announce(event, chat_id, user_id, skip_sid)`` tells everybody in a chat, on every process."""
        self._services = services
        self._presence = services.presence
        self._announce = announce
        self._rooms: dict[str, Room] = {}
        self._inside: dict[str, set[str]] = {}
        self._leaving: set[asyncio.Task[None]] = set()
        self._renewing: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Say that this process lives, and look after those that died."""
        self._renewing = asyncio.create_task(self._renew())

    async def close(self) -> None:
        """Nobody is told anything more. Who does not come back elsewhere is gone when this process's lease has ended."""
        for room in list(self._rooms.values()):
            await room.close()
            await asyncio.gather(*(member.stop() for member in room.members.values()))
        tasks = [task for task in (self._renewing, *self._leaving) if task]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def of(self, sid: str) -> frozenset[str]:
        """The chats in whose rooms a connection is."""
        return frozenset(self._inside.get(sid, ()))

    async def join(self, sid: str, chat_id: str, member: Member) -> list[str]:
        """A connection whose user may read the chat comes in: the users who are there now. One that is in stays as it is.

        Raises Unavailable, and it is not in, where that cannot be told to all processes.
        """
        there = await self._arrive(sid, chat_id, member.user_id)
        room = self._rooms.get(chat_id)
        if room is None:
            room = self._rooms[chat_id] = Room(self._services, chat_id)
        if sid not in room.members:
            room.members[sid] = member
            self._inside.setdefault(sid, set()).add(chat_id)
            await room.listening.wait()
            member.start()
        return there

    async def leave(self, sid: str, chat_id: str, *, grace_s: float = 0) -> None:
        """A connection goes out; one that is not in does nothing. ``grace_s``: how long the others are not told: it may come back."""
        room = self._rooms.get(chat_id)
        member = room.members.pop(sid, None) if room else None
        if room is None or member is None:
            return
        self._inside[sid].discard(chat_id)
        if not self._inside[sid]:
            del self._inside[sid]
        if not room.members:
            del self._rooms[chat_id]
            await room.close()
        await member.stop()
        if grace_s:
            task = asyncio.create_task(self._depart(sid, chat_id, member.user_id, grace_s))
            self._leaving.add(task)
            task.add_done_callback(self._leaving.discard)
        else:
            await self._depart(sid, chat_id, member.user_id)

    async def leave_all(self, sid: str, *, grace_s: float = 0) -> None:
        """A connection is gone."""
        for chat_id in self.of(sid):
            await self.leave(sid, chat_id, grace_s=grace_s)

    def check(self, sid: str) -> None:
        """See whether a connection may still be where it is."""
        for chat_id in self.of(sid):
            self._rooms[chat_id].members[sid].tell(Check())

    async def _arrive(self, sid: str, chat_id: str, user_id: str) -> list[str]:
        first, there = await self._presence.join(chat_id, user_id, sid)
        if first:
            await self._announce("user_join", chat_id, user_id, sid)
        return there

    async def _depart(self, sid: str, chat_id: str, user_id: str, grace_s: float = 0) -> None:
        await asyncio.sleep(grace_s)
        if await self._presence.leave(chat_id, user_id, sid):
            await self._announce("user_leave", chat_id, user_id, None)

    async def _renew(self) -> None:
        while True:
            try:
                known, dead = await self._presence.renew()
                if not known:
                    await self._come_back()
                for process in dead:
                    async for chat_id, gone in self._presence.bury(process):
                        for user_id in gone:
                            await self._announce("user_leave", chat_id, user_id, None)
            except Exception as error:  # noqa: BLE001 - the next turn may do better
                log.warning("presence not renewed", why=str(error))
            await asyncio.sleep(RENEW_S)

    async def _come_back(self) -> None:
        """After the others took us for dead, or Redis has lost its memory."""
        for chat_id, room in list(self._rooms.items()):
            for sid, member in list(room.members.items()):
                await self._arrive(sid, chat_id, member.user_id)
