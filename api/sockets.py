"""The Socket.IO face: rooms of chats, messages in and out.

From a client: ``join_chat {chat_id, after?}``, ``leave_chat {chat_id}``, ``message {chat_id, message: {role, content, id?}, model?}``,
``stop {chat_id}``. Each is acknowledged with ``{ok: true, …}`` or ``{error: {detail, code}}``; a failure is an ``error`` event too.

To everybody in the room, the sender too: ``message {chat_id, message, delta}``. A user's message comes once, whole. An answer comes in
pieces (``delta: true``, with ``generation_id`` and ``event_id``) that joined are what is stored, and once more whole at its end
(``delta: false``, ``message.done: true``). One who joins in the middle hears it from its start, or after the event ids given in
``after: {generation_id: event_id}``. To the others: ``user_join`` and ``user_leave {chat_id, user_id}``.
"""

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import msgspec
import socketio
from aiohttp import web
from structlog.contextvars import bind_contextvars

from api.addresses import client_address
from api.bodies import convert
from api.errors import bug
from api.members import Member
from api.rooms import Rooms
from api.socket_json import SocketJson
from core.errors import Forbidden, PenstockError, Unauthenticated
from core.logging import get_logger
from core.models.chats import SendMessage
from core.models.users import Principal, Role
from core.services import Services
from core.services.limits import Limits
from core.services.presence import Presence
from core.storage.redis import options

MAX_MESSAGE_BYTES = 1_048_576
MAX_QUEUED = 64
PAUSE_S = 0.05
MAX_RESUMED = 64
BEARER = "bearer "
NAMESPACE = "/"

log = get_logger(face="socketio")

Answer = dict[str, Any]
EventId = Annotated[str, msgspec.Meta(pattern=r"^[0-9]{1,15}(-[0-9]{1,15})?$")]


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """A room; ``after``: the last event id seen of each answer."""

    chat_id: str
    after: Annotated[dict[str, EventId], msgspec.Meta(max_length=MAX_RESUMED)] = {}


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """A user's message."""

    role: str = "user"
    content: Any = None
    id: str | None = None


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """A message with its room."""

    chat_id: str
    message: Sent
    model: str | None = None


class Sockets:
    """One process's Socket.IO server."""

    def __init__(self, services: Services, limits: Limits) -> None:
        """Pages of any origin may connect: it is the token in the handshake that counts, never a cookie."""
        self._services = services
        self._limits = limits
        url = services.settings.redis_url
        self._manager = socketio.AsyncRedisManager(url, channel=f"socketio:{options(url)['db']}")
        self._server = socketio.AsyncServer(
            async_mode="aiohttp",
            client_manager=self._manager,
            json=SocketJson,
            cors_allowed_origins="*",
            cors_credentials=False,
            max_http_buffer_size=MAX_MESSAGE_BYTES,
        )
        self._rooms = Rooms(services, Presence(services.scripts), self._announce)
        self._server.on("connect", self._connect)
        self._server.on("disconnect", self._disconnect)
        for name, handler in (("join_chat", self._join), ("leave_chat", self._leave), ("message", self._message), ("stop", self._stop)):
            self._server.on(name, self._answering(name, handler))

    async def open(self) -> None:
        """Begin."""
        await self._rooms.open()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Any request of Socket.IO's transports."""
        response: web.StreamResponse = await self._server.handle_request(request)
        return response

    async def close_sockets(self) -> None:
        """Clients are told to come back, to another process."""
        sockets = list(self._server.eio.sockets.values())
        await asyncio.gather(*(socket.close(wait=False) for socket in sockets), return_exceptions=True)

    async def close(self) -> None:
        """End what runs in the background."""
        await self._rooms.close()
        await self._server.shutdown()
        if self._server.manager_initialized:
            self._manager.thread.cancel()
            await asyncio.gather(self._manager.thread, return_exceptions=True)
        if self._manager.redis is not None:
            await self._manager.pubsub.aclose()
            await self._manager.redis.aclose()

    async def _connect(self, sid: str, environ: dict[str, Any], auth: Any = None) -> None:
        token = auth.get("token") if isinstance(auth, dict) else None
        header = environ.get("HTTP_AUTHORIZATION", "")
        if not token and header[: len(BEARER)].lower() == BEARER:
            token = header[len(BEARER) :].strip()
        try:
            await self._admit(token, client_address(environ["aiohttp.request"]))
        except PenstockError as error:
            raise socketio.exceptions.ConnectionRefusedError(error.detail, _told(error)) from None
        except Exception as error:  # noqa: BLE001 - logged
            told = bug(error)
            raise socketio.exceptions.ConnectionRefusedError(told.detail, _told(told)) from None
        await self._server.save_session(sid, {"token": token})

    async def _admit(self, token: Any, address: str) -> None:
        """Strangers who knock are counted by their address. Raises Unauthenticated, Forbidden, RateLimited."""
        try:
            await self._authenticate(token)
        except Unauthenticated:
            budget = await self._limits.take_anonymous(address)
            if budget and not budget.allowed:
                raise budget.refusal() from None
            raise

    async def _disconnect(self, sid: str, _reason: str) -> None:
        await self._rooms.leave_all(sid)

    async def _join(self, sid: str, data: Any) -> Answer:
        place, principal = convert(data, Place), await self._principal(sid)
        await self._enter(sid, principal, place)
        return {"chat_id": place.chat_id}

    async def _leave(self, sid: str, data: Any) -> Answer:
        place = convert(data, Place)
        await self._exit(sid, place.chat_id)
        return {"chat_id": place.chat_id}

    async def _message(self, sid: str, data: Any) -> Answer:
        sent, principal = convert(data, Message), await self._principal(sid)
        budget = await self._limits.take(principal)
        if budget and not budget.allowed:
            raise budget.refusal()
        await self._enter(sid, principal, Place(chat_id=sent.chat_id))
        command = SendMessage(
            chat_id=sent.chat_id, content=sent.message.content, role=sent.message.role, id=sent.message.id, model=sent.model
        )
        spec, asked, answer = await self._services.generations.reply(principal, command)
        return {"chat_id": sent.chat_id, "generation_id": spec.id, "message_id": asked.id, "answer_id": answer.id}

    async def _stop(self, sid: str, data: Any) -> Answer:
        place, principal = convert(data, Place), await self._principal(sid)
        await self._services.chats.readable(principal, place.chat_id)
        stopped = await self._services.generations.running(place.chat_id)
        for generation_id in stopped:
            await self._services.generations.stop(principal, generation_id)
        return {"chat_id": place.chat_id, "stopped": stopped}

    async def _enter(self, sid: str, principal: Principal, place: Place) -> None:
        """Into the room, for those who may read the chat."""
        await self._services.chats.readable(principal, place.chat_id)
        member = Member(
            services=self._services,
            chat_id=place.chat_id,
            user_id=principal.id,
            after=place.after,
            principal=lambda: self._principal(sid),
            emit=lambda event, data: self._emit(sid, event, data),
            dismiss=lambda: self._exit(sid, place.chat_id),
        )
        await self._server.enter_room(sid, _room(place.chat_id))
        await self._rooms.join(sid, place.chat_id, member)
        if not self._manager.is_connected(sid, NAMESPACE):
            await self._rooms.leave_all(sid)

    async def _exit(self, sid: str, chat_id: str) -> None:
        await self._server.leave_room(sid, _room(chat_id))
        await self._rooms.leave(sid, chat_id)

    async def _principal(self, sid: str) -> Principal:
        """Who they are in the store now. Raises Unauthenticated, Forbidden."""
        try:
            session = await self._server.get_session(sid)
        except KeyError:
            session = {}
        return await self._authenticate(session.get("token"))

    async def _authenticate(self, token: Any) -> Principal:
        if not isinstance(token, str) or not token:
            message = "Connect with a token: io(url, {auth: {token}})."
            raise Unauthenticated(message)
        principal = await self._services.users.authenticate(token)
        if principal.user.role is Role.PENDING:
            message = "Your account is waiting for an administrator to activate it."
            raise Forbidden(message)
        return principal

    def _answering(self, name: str, handler: Callable[[str, Any], Awaitable[Answer]]) -> Callable[..., Awaitable[Answer]]:
        """An event's handler with what all of them have in common: an id, one log line, and failures as answers."""

        async def answered(sid: str, data: Any = None, *_: Any) -> Answer:
            bind_contextvars(request_id=secrets.token_hex(8))
            began, code = time.perf_counter(), "ok"
            try:
                answer = {"ok": True, **await handler(sid, data)}
            except Exception as error:  # noqa: BLE001 - told, and logged where it is a bug
                failure = _told(error if isinstance(error, PenstockError) else bug(error))
                code, answer = failure["code"], {"error": failure}
                await self._emit(sid, "error", {**failure, "event": name})
            log.info("event", event_name=name, outcome=code, ms=round((time.perf_counter() - began) * 1000, 1))
            return answer

        return answered

    async def _emit(self, sid: str, event: str, data: Any) -> None:
        """To one socket of this process. One who does not read is waited for: what is not sent yet stays in the log, not in memory."""
        while self._waiting(sid) > MAX_QUEUED:  # noqa: ASYNC110 - the library does not say when a socket has taken a packet
            await asyncio.sleep(PAUSE_S)
        await self._server.emit(event, data, to=sid, namespace=NAMESPACE, ignore_queue=True)

    def _waiting(self, sid: str) -> int:
        """How many packets a socket has not taken yet."""
        socket = self._server.eio.sockets.get(self._manager.eio_sid_from_sid(sid, NAMESPACE))
        return socket.queue.qsize() if socket else 0

    async def _announce(self, event: str, chat_id: str, user_id: str, skip_sid: str | None) -> None:
        """To everybody in a chat, on every process."""
        await self._server.emit(event, {"chat_id": chat_id, "user_id": user_id}, room=_room(chat_id), skip_sid=skip_sid)


def _room(chat_id: str) -> str:
    return f"chat:{chat_id}"


def _told(error: PenstockError) -> dict[str, Any]:
    return {"detail": error.detail, "code": error.code} | ({"retry_after": error.retry_after} if error.retry_after is not None else {})
