"""Event logs: one Redis Stream per job, and a publish of the same entry on the same name, so that a listener needs no polling.

A listener subscribes, reads the backlog after the id it last saw, then passes on live entries, dropping what it
already has; on a gap, a reconnection or silence it reads the stream again. One connection per process carries all its
listeners. An entry's id is ``<epoch>-<seq>``: the epoch is its writer's claim, so Redis itself refuses a writer of an
older one (core.jobs.claims appends). A log moves into its job's hash at its end, with the same ids (core.jobs.compaction).
"""

import asyncio
import secrets
import time
import uuid
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from core.errors import Unavailable
from core.events import whole_log
from core.events.inbox import Inbox
from core.events.whole_log import Entry
from core.models import events
from core.models.events import Event, Failed
from core.redis.client import Redis, RedisError, Scripts
from core.redis.connection import Argument, Connection, pack_command
from core.redis.keys import events_key, job_key

SILENCE_S = 5.0
PING_S = 5.0
RECONNECT_S = 0.1
BACKLOG_ENTRIES = 500
KEEP_ALIVE_CHANNEL = "events:keep-alive"
EXPECTED_S = 60.0
PREFIX_BYTES = 4
START = "0-0"

Position = tuple[int, int]


def position(entry_id: str | bytes) -> Position:
    """An entry id as (epoch, seq). Raises ValueError for what is no id."""
    text = entry_id.decode() if isinstance(entry_id, bytes) else entry_id
    epoch, _, seq = text.partition("-")
    return int(epoch), int(seq or 0)


class EventLog:
    """All the listening of one process."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._scripts = Scripts(redis, patience_s=0)
        self._prefix = secrets.token_hex(PREFIX_BYTES)
        self._inboxes: dict[str, set[Inbox]] = {}
        self._expected: dict[str, tuple[float, Inbox]] = {}  # nobody reads them yet; the oldest first
        self._fresh: dict[str, Inbox] = {}  # of those that were expected and are read
        self._wire: Connection | None = None
        self._alive = False
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to listen; a Redis that is away is waited for."""
        self._task = asyncio.create_task(self._listen())

    async def close(self) -> None:
        """Stop listening. Subscriptions still open end by cancellation of their readers."""
        while self._task and not self._task.done():
            self._task.cancel()  # more than once: redis-py loses one that comes while it connects
            await asyncio.wait((self._task,), timeout=RECONNECT_S)

    def new_id(self) -> str:
        """An id for a job of this process: one pattern covers the logs of all of them, so that ``expect`` costs no command."""
        return self._prefix + uuid.uuid4().hex[2 * PREFIX_BYTES :]

    def expect(self, job_id: str) -> None:
        """Hear a log that does not exist yet, from its first entry; ``subscribe(…, fresh=True)`` is to follow soon."""
        now = time.monotonic()
        while self._expected and next(iter(self._expected.values()))[0] < now - EXPECTED_S:
            del self._expected[next(iter(self._expected))]
        inbox = Inbox(_entry)
        inbox.gap = self._wire is None
        self._expected[events_key(job_id)] = now, inbox

    async def read(self, job_id: str, after: str = START) -> list[Entry]:
        """What the log holds after an id, now."""
        return await self._page(job_id, position(after), None)

    async def subscribe(self, job_id: str, after: str = START, *, fresh: bool = False) -> AsyncGenerator[Entry, None]:
        """Entries after an id as (id, event): first what is there, then what comes; ends after the terminal event.

        Where all stays silent and Redis does not know the job, the last event is made here: a failure that says so.

        ``fresh``: ``expect`` was called before the job was enqueued. An id that is not one of the log's form raises ValueError.
        """
        key, cursor = events_key(job_id), position(after)
        expected = fresh and key in self._expected
        with self._expectation(key) if expected else self._inbox(key, _entry) as inbox:
            if not expected:
                await self._confirm(key, inbox)
            while True:
                if inbox.gap:
                    async for entry_id, event in self._backlog(job_id, cursor, inbox):
                        cursor = position(entry_id)
                        yield entry_id, event
                        if isinstance(event, events.ENDS):
                            return
                    if await self._ended_before(job_id, cursor):
                        return
                entry = await self._next(inbox, job_id, cursor)
                if entry is None or _skips(cursor, entry[0]):
                    inbox.gap = True
                elif entry[0] > cursor:
                    cursor, entry_id, event = entry
                    yield entry_id, event
                    if isinstance(event, events.ENDS):
                        return

    async def notify(self, topic: str, payload: bytes) -> int:
        """Tell everybody who hears a topic, once; nothing is kept. How many processes that are. Raises Unavailable."""
        told: int = await self._scripts.command("PUBLISH", topic, payload)
        if told or not self._redis.nodes.owners:
            return told
        return await self._scripts.count_subscribers(topic)  # of a cluster each node tells only of its own

    async def hear(self, topic: str) -> AsyncGenerator[bytes | None, None]:
        """What is told on a topic from now on; None first, and wherever something may have been missed: read the state again."""
        with self._inbox(topic, bytes) as inbox:
            await self._confirm(topic, inbox)
            while True:
                if inbox.gap:
                    inbox.gap = False
                    yield None
                payload = await inbox.next(None)
                if payload is not None:
                    yield payload

    async def _backlog(self, job_id: str, cursor: Position, inbox: Inbox) -> AsyncGenerator[Entry, None]:
        """Pages of the stream, until one is not full. A Redis that is away is waited for."""
        inbox.gap = False
        while True:
            try:
                entries = await self._page(job_id, cursor, BACKLOG_ENTRIES)
            except Unavailable:
                await asyncio.sleep(RECONNECT_S)
                continue
            for entry in entries:
                yield entry
            if len(entries) < BACKLOG_ENTRIES:
                return
            cursor = position(entries[-1][0])

    async def _page(self, job_id: str, after: Position, count: int | None) -> list[Entry]:
        """At most ``count`` entries of the stream, or all of a log that was moved, be it between two pages or the calls here."""
        most: tuple[Argument, ...] = ("COUNT", count) if count else ()
        entries = await self._scripts.command("XRANGE", events_key(job_id), f"({after[0]}-{after[1]}", "+", *most)
        if entries:
            return [(entry_id.decode(), events.decode(payload)) for entry_id, (_, payload) in entries]
        return [entry for entry in await self._moved(job_id) if position(entry[0]) > after]

    async def _moved(self, job_id: str) -> list[Entry]:
        """A log that has ended and lies in its job's hash."""
        data = await self._scripts.command("HGET", job_key(job_id), "log")
        return await whole_log.decode(data) if data else []

    async def _ended_before(self, job_id: str, cursor: Position) -> bool:
        """Whether nothing can come after an id that a reader brought: the log has ended there, or before it."""
        if cursor == (0, 0):
            return False
        try:
            found = await self._scripts.command("XREVRANGE", events_key(job_id), "+", "-", "COUNT", 1)
            newest = [(entry_id.decode(), events.decode(payload)) for entry_id, (_, payload) in found] or await self._moved(job_id)
        except Unavailable:
            return False
        return bool(newest) and position(newest[-1][0]) <= cursor and isinstance(newest[-1][1], events.ENDS)

    async def _next(self, inbox: Inbox, job_id: str, cursor: Position) -> tuple[Position, str, Event] | None:
        """What comes; None at a gap or after some silence. Of a job that Redis does not know any more nothing comes but its end."""
        entry: tuple[Position, str, Event] | None = await inbox.next(SILENCE_S)
        if entry is None and not inbox.gap:
            with suppress(Unavailable):
                if not await self._scripts.command("EXISTS", job_key(job_id)):
                    return (cursor[0], cursor[1] + 1), f"{cursor[0]}-{cursor[1] + 1}", _GONE
        return entry

    @contextmanager
    def _expectation(self, key: str) -> Iterator[Inbox]:
        _, inbox = self._expected.pop(key)
        self._fresh[key] = inbox
        try:
            yield inbox
        finally:
            del self._fresh[key]

    @contextmanager
    def _inbox(self, channel: str, decode: Callable[[bytes], Any]) -> Iterator[Inbox]:
        inbox = Inbox(decode)
        readers = self._inboxes.setdefault(channel, set())
        readers.add(inbox)
        if len(readers) == 1:
            self._command("SUBSCRIBE", channel)
        try:
            yield inbox
        finally:
            readers.discard(inbox)
            if not readers and self._inboxes.get(channel) is readers:
                del self._inboxes[channel]
                self._command("UNSUBSCRIBE", channel)

    def _command(self, name: str, channel: str) -> None:
        """SUBSCRIBE or UNSUBSCRIBE, without waiting; a connection that breaks now is subscribed anew as a whole."""
        if self._wire:
            self._wire.send(pack_command(name, channel))

    async def _confirm(self, channel: str, inbox: Inbox) -> None:
        """Wait until Redis has confirmed the subscription: what is appended from now on arrives."""
        if any(other.confirmed.is_set() for other in self._inboxes[channel]):
            inbox.confirmed.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(SILENCE_S):
                await inbox.confirmed.wait()
        inbox.gap = True

    async def _listen(self) -> None:
        while True:
            lost = asyncio.Event()
            with suppress(RedisError, OSError):
                wire = await self._redis.nodes.listen(self._heard, lost.set)
                try:
                    wire.send(
                        pack_command("PSUBSCRIBE", events_key(f"{self._prefix}*"))
                        + pack_command("SUBSCRIBE", KEEP_ALIVE_CHANNEL, *self._inboxes)
                    )
                    self._wire = wire
                    await self._watch(wire, lost)
                finally:
                    self._wire = None
                    wire.close()
            await asyncio.sleep(RECONNECT_S)

    async def _watch(self, wire: Connection, lost: asyncio.Event) -> None:
        """Until the connection is lost, or says nothing when it is asked whether it is there."""
        self._alive = True
        while self._alive and not lost.is_set():
            self._alive = False
            wire.send(pack_command("PING"))
            with suppress(TimeoutError):
                await asyncio.wait_for(lost.wait(), PING_S)

    def _heard(self, message: Any) -> None:
        """What Redis says on a subscribed connection: lists that begin with their kind."""
        self._alive = True
        if isinstance(message, list):
            self._dispatch(message)
        elif self._wire:
            self._wire.close()

    def _dispatch(self, message: list[Any]) -> None:
        kind = message[0]
        if kind == b"pmessage":
            key = message[2].decode()
            inbox = self._fresh.get(key) or self._expected.get(key, _NOBODY)[1]
            if inbox:
                inbox.put(inbox.decode(message[3]))
        elif kind == b"psubscribe":
            for inbox in (*self._fresh.values(), *(inbox for _, inbox in self._expected.values())):
                inbox.mark()
        elif kind == b"subscribe":
            for inbox in self._inboxes.get(message[1].decode(), ()):
                inbox.confirm()
        elif kind == b"message":
            readers = self._inboxes.get(message[1].decode())
            item = next(iter(readers)).decode(message[2]) if readers else None
            for inbox in readers or ():
                inbox.put(item)


_NOBODY = 0.0, None
_GONE = Failed(code=Unavailable.code, detail="Redis has lost this job, or it was never ended. What arrived is kept; ask again.")


def _skips(cursor: Position, at: Position) -> bool:
    """Whether something may lie between two entries. What a new epoch begins with could hide the end of the last one."""
    return at > cursor and at not in {(cursor[0], cursor[1] + 1), (1, 1)}


def _entry(data: bytes) -> tuple[Position, str, Event]:
    entry_id, _, payload = data.partition(b" ")
    return position(entry_id), entry_id.decode(), events.decode(payload)
