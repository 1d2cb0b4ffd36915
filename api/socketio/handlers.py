"""The Socket.IO face: rooms of chats, messages in and out.

From a client: ``join_chat {chat_id, after?, last_message_id?}``, ``leave_chat {chat_id}``, ``stop {chat_id}`` or ``stop {generation_id}``,
``message {chat_id, message: {role, content, id?, files?, knowledge_ids?}, model?}``. Each is acknowledged with ``{ok: true, …}`` or
``{ok: false, error: {detail, code, retry_after?}}``; a failure is an ``error`` event too, for those who ask for no acknowledgement.

To everybody in the room, the sender too: ``message {chat_id, message, delta}``. A user's message comes once, whole. An answer comes in
pieces (``delta: true``, with ``generation_id`` and ``event_id``) that joined are what is stored, and once more whole at its end
(``delta: false``, ``message.done: true``). What it stands on comes before its text, as ``sources`` of an empty piece, and with the whole.
One who joins in the middle hears it from its start. One who comes back hears the rest: of answers after the event ids given in
``after: {generation_id: event_id}``, and what came after the user's message ``last_message_id``.
To the others: ``user_join`` and ``user_leave {chat_id, user_id}``. Whose access ends is told by an ``error`` and let out.
"""

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import socketio
from aiohttp import web

from api.http.errors import report_bug
from api.http.json import convert, encode
from api.http.proxies import client_address
from api.http.revocation import HeldTokens
from api.socketio.authentication import SocketAuthentication
from api.socketio.members import Member
from api.socketio.rooms import Rooms
from api.socketio.schemas import Join, Leave, Message, Stop, describe_error
from api.socketio.server import MAX_PACKET_BYTES, NAMESPACE, SocketServer
from api.socketio.session_affinity import SessionAffinity
from core.errors import BadRequest, Forbidden, NotFound, PenstockError, Unauthenticated
from core.logging import bind, get_logger
from core.models.chats import SendMessage
from core.models.users import Principal
from core.services import Services

MAX_PAYLOAD_BYTES = 1_048_576
MAX_ROOMS_PER_SOCKET = 100
MAX_QUEUED = 64
PAUSE_S = 0.05
GRACE_S = 2.0

log = get_logger(face="socketio")

Acknowledgement = dict[str, Any]
Handler = Callable[[str, Principal, Any], Awaitable[Acknowledgement]]


class SocketHandlers:
    """One process's Socket.IO server."""

    def __init__(self, services: Services, held_tokens: HeldTokens, token_of: Callable[[web.Request, Any], Any]) -> None:
        """``token_of(request, auth)``: what a handshake brings."""
        self._token_of = token_of
        self._services = services
        self._server = SocketServer(services.settings.redis_url)
        self._rooms = Rooms(services, self._announce)
        self._session_affinity = SessionAffinity()
        self._authentication = SocketAuthentication(services, held_tokens, dismiss=self._turn_out, allowed=self._go_on)
        self._server.on("connect", self._connect)
        self._server.on("disconnect", self._disconnect)
        self._handlers = {"join_chat": self._join, "leave_chat": self._leave, "message": self._message, "stop": self._stop}
        for name, handler in self._handlers.items():
            self._server.on(name, self._answering(name, handler))
        self._server.on("*", self._unknown)

    async def open(self) -> None:
        """Begin."""
        await self._rooms.open()

    async def listen(self, runner: web.AppRunner) -> None:
        """Be reachable for the processes that share the port, for what belongs to our sessions."""
        self._server.name = await self._session_affinity.listen(runner)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Any request of Socket.IO's transports."""
        response: web.StreamResponse | None = await self._session_affinity.pass_on(request, max_bytes=MAX_PACKET_BYTES)
        return response or await self._server.handle_request(request)

    async def close_sockets(self) -> None:
        """Clients are told to come back, to another process."""
        await self._server.close_sockets()

    async def close(self) -> None:
        """End what runs in the background."""
        await self._session_affinity.close()
        await self._rooms.close()
        await self._server.close()

    async def _connect(self, sid: str, environ: dict[str, Any], auth: Any = None) -> None:
        try:
            request = environ["aiohttp.request"]
            await self._authentication.admit(sid, self._token_of(request, auth), client_address(request))
        except PenstockError as error:
            raise socketio.exceptions.ConnectionRefusedError(error.detail, describe_error(error)) from None
        except Exception as error:  # noqa: BLE001 - logged
            failure = report_bug(error)
            raise socketio.exceptions.ConnectionRefusedError(failure.detail, describe_error(failure)) from None
        if not self._alive(sid):  # it left while its token was looked at: the library will not say so
            self._authentication.forget(sid)
            raise socketio.exceptions.ConnectionRefusedError

    async def _disconnect(self, sid: str, reason: str) -> None:
        self._authentication.forget(sid)
        await self._rooms.leave_all(sid, grace_s=0 if reason == self._server.reason.CLIENT_DISCONNECT else GRACE_S)

    async def _unknown(self, event: str, sid: str, data: Any = None, *_: Any) -> Acknowledgement:
        async def refuse(_sid: str, _principal: Principal, _data: Any) -> Acknowledgement:
            message = f"There is no event {event[:40]!r}. Events are {', '.join(self._handlers)}."
            raise NotFound(message)

        return await self._answering("*", refuse)(sid, data)

    async def _join(self, sid: str, principal: Principal, data: Any) -> Acknowledgement:
        place = convert(data, Join)
        return {"chat_id": place.chat_id, "presence": await self._enter(sid, principal, place)}

    async def _leave(self, sid: str, _principal: Principal, data: Any) -> Acknowledgement:
        place = convert(data, Leave)
        await self._exit(sid, place.chat_id)
        return {"chat_id": place.chat_id}

    async def _message(self, sid: str, principal: Principal, data: Any) -> Acknowledgement:
        sent = convert(data, Message)
        if sent.chat_id not in self._rooms.of(sid):
            await self._enter(sid, principal, Join(chat_id=sent.chat_id))
        command = SendMessage(chat_id=sent.chat_id, model=sent.model, **msgspec.structs.asdict(sent.message))
        spec, asked, answer = await self._services.generations.reply(principal, command)
        return {"chat_id": sent.chat_id, "generation_id": spec.id, "message_id": asked.id, "answer_id": answer.id}

    async def _stop(self, _sid: str, principal: Principal, data: Any) -> Acknowledgement:
        wanted = convert(data, Stop)
        generations, stopped = self._services.generations, list[str]()
        if wanted.generation_id is not None:
            stopped = [wanted.generation_id]
        elif wanted.chat_id is not None:
            await self._services.chats.readable(principal, wanted.chat_id)
            stopped = await generations.running(wanted.chat_id)
        else:
            message = "Name what to stop: chat_id for all that is being answered in a chat, or generation_id for one answer."
            raise BadRequest(message, param="chat_id")
        for generation_id in stopped:
            await generations.stop(principal, generation_id)
        return {"chat_id": wanted.chat_id, "stopped": stopped}

    async def _enter(self, sid: str, principal: Principal, place: Join) -> list[str]:
        """Into the room, for those who may read the chat: who is in it now."""
        await self._services.chats.readable(principal, place.chat_id)
        inside = self._rooms.of(sid)
        if place.chat_id not in inside and len(inside) >= MAX_ROOMS_PER_SOCKET:
            message = f"This connection is in {MAX_ROOMS_PER_SOCKET} chats, which is the most. Leave one first, by leave_chat."
            raise BadRequest(message, param="chat_id")
        member = Member(
            services=self._services,
            chat_id=place.chat_id,
            user_id=principal.id,
            after=place.after,
            since=await self._since(principal, place),
            principal=lambda: self._authentication.principal(sid),
            emit=lambda event, data: self._emit(sid, event, data),
            dismiss=lambda error: self._dismiss(sid, place.chat_id, error),
        )
        await self._server.enter_room(sid, _room(place.chat_id))
        there = await self._rooms.join(sid, place.chat_id, member)
        if not self._server.manager.is_connected(sid, NAMESPACE):
            await self._rooms.leave_all(sid)
        return there

    async def _since(self, principal: Principal, place: Join) -> int | None:
        """Where in the chat the last message that they heard stands."""
        if place.last_message_id is None:
            return None
        detail = await self._services.chats.get(principal, place.chat_id)
        for message in detail.messages:
            if message.id == place.last_message_id:
                return message.position
        problem = "last_message_id is no message of this chat. Leave it out, and read the chat anew."
        raise BadRequest(problem, param="last_message_id")

    async def _exit(self, sid: str, chat_id: str) -> None:
        await self._server.leave_room(sid, _room(chat_id))
        await self._rooms.leave(sid, chat_id)

    async def _dismiss(self, sid: str, chat_id: str, error: PenstockError) -> None:
        """Out of a room, and out of the house where it is not the room alone that is closed to them."""
        if isinstance(error, Unauthenticated | Forbidden):
            await self._turn_out(sid, error)
        else:
            await self._emit(sid, "error", {**describe_error(error), "chat_id": chat_id})
            await self._exit(sid, chat_id)

    async def _go_on(self, sid: str) -> None:
        """Somebody whose token is still good; perhaps their transport went away unnoticed, as the first of two connections in one does."""
        if self._alive(sid):
            self._rooms.check(sid)
        else:
            await self._disconnect(sid, self._server.reason.TRANSPORT_CLOSE)
            await self._server.manager.disconnect(sid, NAMESPACE, ignore_queue=True)

    def _alive(self, sid: str) -> bool:
        return self._server.engine_socket(sid) is not None

    async def _turn_out(self, sid: str, error: PenstockError) -> None:
        """At once, also one who does not read."""
        await self._server.emit("error", describe_error(error), to=sid, namespace=NAMESPACE, ignore_queue=True)
        await self._server.disconnect(sid, ignore_queue=True)

    def _answering(self, name: str, handler: Handler) -> Callable[..., Awaitable[Acknowledgement]]:
        """An event's handler with what all of them have in common: who, how often, how much, one log line, and failures as answers."""

        async def answered(sid: str, data: Any = None, *_: Any) -> Acknowledgement:
            bind(request_id=secrets.token_hex(8))
            began, code = time.perf_counter(), "ok"
            try:
                principal = await self._authentication.principal(sid)
                await self._count(principal, data)
                answer = {"ok": True, **await handler(sid, principal, data)}
            except Exception as error:  # noqa: BLE001 - told, and logged where it is a bug
                failure = describe_error(error if isinstance(error, PenstockError) else report_bug(error))
                code, answer = failure["code"], {"ok": False, "error": failure}
                await self._emit(sid, "error", {**failure, "event": name})
            log.info("event", event_name=name, outcome=code, ms=round((time.perf_counter() - began) * 1000, 1))
            return answer

        return answered

    async def _count(self, principal: Principal, data: Any) -> None:
        """Take one place of the budget that all faces share. Raises RateLimited, and BadRequest for what is too large."""
        budget = await self._services.rate_limiter.take(principal)
        if budget and not budget.allowed:
            raise budget.refusal()
        size = len(encode(data))
        if size > MAX_PAYLOAD_BYTES:
            message = f"This has {size} bytes; at most {MAX_PAYLOAD_BYTES} are taken here. POST /api/chats/{{chat_id}}/messages takes more."
            raise BadRequest(message)

    async def _emit(self, sid: str, event: str, data: Any) -> None:
        """To one socket of this process. One who does not read is waited for: what is not sent yet stays in the log, not in memory."""
        while self._waiting(sid) > MAX_QUEUED:  # noqa: ASYNC110 - the library does not say when a socket has taken a packet
            await asyncio.sleep(PAUSE_S)
        await self._server.emit(event, data, to=sid, namespace=NAMESPACE, ignore_queue=True)

    def _waiting(self, sid: str) -> int:
        """How many packets a socket has not taken yet."""
        socket = self._server.engine_socket(sid)
        return socket.queue.qsize() if socket else 0

    async def _announce(self, event: str, chat_id: str, user_id: str, skip_sid: str | None) -> None:
        """To everybody in a chat, on every process."""
        await self._server.emit(event, {"chat_id": chat_id, "user_id": user_id}, room=_room(chat_id), skip_sid=skip_sid)


def _room(chat_id: str) -> str:
    return f"chat:{chat_id}"
