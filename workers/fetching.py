"""Taking jobs: one loop a worker over all the queues that it serves.

Messages, queues and middleware are Dramatiq's; its threads are not needed, because jobs run on the event loop. A queue is asked when it is
told that something waits there, when a place became free, and now and then.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from typing import Any

from dramatiq import Broker, Message, MessageProxy
from dramatiq.middleware import SkipMessage

from core.errors import PenstockError
from core.events import EventLog
from core.jobs import KINDS, is_bulk
from core.jobs.claims import Claims
from core.jobs.queue import JobQueue, wake_topic
from core.jobs.waiting import expect_with
from core.logging import get_logger
from core.models.pools import Pool
from core.redis.keys import SUSPECTS

IDLE_S = 5.0
COMPARE_S = 2.0

log = get_logger()

Make = Callable[[str, str], Awaitable[bool]]  # a job's id and queue; whether its message counts no more


class Fetching:
    """``places``: how many jobs of each kind this process does at a time; none waits here for one to become free."""

    def __init__(  # noqa: PLR0913 - each by its name, where the process is assembled
        self,
        *,
        worker_id: str,
        pool: Pool,
        queue: JobQueue,
        claims: Claims,
        events: EventLog,
        make: Make,
        places: Mapping[str, int],
        broker: Broker,
    ) -> None:
        """``broker``: Dramatiq's, for its middleware."""
        self._worker_id = worker_id
        self._pool = pool
        self._queue = queue
        self._claims = claims
        self._events = events
        self._make = make
        self._places = places
        self._broker = broker
        self._kinds: dict[str, str] = {}  # each queue's, the more urgent first
        self._pending: set[str] = set()
        self._done: defaultdict[str, list[str]] = defaultdict(list)
        self._in_hand: Counter[tuple[str, str]] = Counter()
        self._running: Counter[str] = Counter()
        self._alone = False  # nothing more is taken in this round, for a suspect's sake
        self._suspects = 0  # that run
        self._expected: Counter[str] = Counter()  # of each kind, how many jobs wait for one of it
        self._wake = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._unknown: set[tuple[str, str]] = set()
        self.draining = False

    def serve(self, queues: Mapping[str, str]) -> None:
        """Take jobs from these queues, each of a kind; those of suspects are served with them."""
        found = {queue + SUSPECTS: kind for queue, kind in queues.items()} | dict(queues)
        if found.keys() != self._kinds.keys():
            self._pending.update(found.keys() - self._kinds.keys())
            self._kinds = found
            self._wake.set()

    @property
    def queues(self) -> tuple[str, ...]:
        """Those that are served."""
        return tuple(self._kinds)

    async def run(self) -> None:
        """Take jobs until ``draining``, then only acknowledge."""
        while True:
            self._wake.clear()
            try:
                await self._round()
            except PenstockError as error:
                log.warning("waiting", why=error.detail)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), IDLE_S)
                continue
            await self._look()

    async def hear(self) -> None:
        """Wake up when something waits."""
        async for queue in self._events.hear(wake_topic(self._pool)):
            if queue is None:
                self._pending.update(self._kinds)
            elif queue.decode() in self._kinds:
                self._pending.add(queue.decode())
            else:
                continue
            self._wake.set()

    async def compare(self) -> None:
        """What Redis says that we have in hand and we never heard of, because an answer was lost: it is put back."""
        while True:
            await asyncio.sleep(COMPARE_S)
            unknown = set()
            for queue in self._kinds:
                for job_id in await self._queue.in_hand(queue, self._worker_id):
                    if (queue, job_id) not in self._in_hand and job_id not in self._done[queue]:
                        unknown.add((queue, job_id))
            for queue, job_id in unknown & self._unknown:
                spec = await self._claims.spec(job_id)
                if spec:
                    log.warning("put back", job_id=job_id)
                    await self._queue.put_back(spec, queue, worker_id=self._worker_id)
                else:
                    await self._queue.forget(job_id, queue, self._worker_id)
            self._unknown = unknown

    async def leave(self) -> bool:
        """At the end: acknowledge what is done. Whether nothing is in hand any more, by what Redis says and not by what was heard of."""
        await asyncio.gather(*(self._exchange(queue, 0) for queue in list(self._done)))
        return not any(await asyncio.gather(*(self._queue.in_hand(queue, self._worker_id) for queue in self._kinds)))

    async def _look(self) -> None:
        """Reading costs Redis less than fetching."""
        queues = list(self._kinds)
        with suppress(PenstockError):
            self._pending.update(queue for queue, waiting in zip(queues, await self._queue.lengths(queues), strict=True) if waiting)

    async def _round(self) -> None:
        """All queues on which something may wait, each kind's one after the other; what is done is acknowledged on the way."""
        self._alone = self._suspects > 0
        for queue in [queue for queue in self._kinds if queue.endswith(SUSPECTS) and queue in self._pending]:
            await self._take_alone(queue)
        by_kind: defaultdict[str, list[str]] = defaultdict(list)
        for queue, kind in self._kinds.items():
            if self._waits(queue, kind) or self._done[queue]:
                by_kind[kind].append(queue)
        left = [self._exchange(queue, 0) for queue in list(self._done) if queue not in self._kinds]
        await asyncio.gather(*(self._take(kind, queues) for kind, queues in by_kind.items()), *left)

    async def _take(self, kind: str, queues: list[str]) -> None:
        for queue in queues:
            closed = self.draining or (self._alone and not self._expected[kind]) or not self._waits(queue, kind)
            free = 0 if closed else max(0, self._most(queue, kind) - self._running[kind])
            with self._asking(queue) if free else nullcontext():
                fetched = await self._exchange(queue, free)
            if free and len(fetched) == free:
                self._pending.add(queue)
            for message in fetched:
                self._begin(message, queue, kind)

    def _most(self, queue: str, kind: str) -> int:
        """So many of a kind may run for one of this queue to be begun."""
        places = self._places[kind]
        return max(1, places - KINDS[kind].urgent) if is_bulk(queue) else places

    def _waits(self, queue: str, kind: str) -> bool:
        """Whether something may wait there that need not run alone. What a running job waits for need not: both would wait for ever."""
        return queue in self._pending and (not queue.endswith(SUSPECTS) or self._expected[kind] > 0)

    async def _take_alone(self, queue: str) -> None:
        """A suspect runs alone: where one waits, nothing else is taken until all that runs has ended, and until the suspect has.

        But for what those that run wait for.
        """
        if self.draining or self._suspects:
            return
        with self._asking(queue):
            waits = bool((await self._queue.lengths([queue]))[0])
        if not waits:
            return
        self._alone = True
        self._pending.add(queue)
        if not self._tasks:
            fetched = await self._exchange(queue, 1)
            self._alone = bool(fetched)
            for message in fetched:
                self._begin(message, queue, self._kinds[queue])

    @contextmanager
    def _asking(self, queue: str) -> Iterator[None]:
        """From now on it counts when it is told that something waits there: that may come before the answer does."""
        self._pending.discard(queue)
        try:
            yield
        except BaseException:
            self._pending.add(queue)
            raise

    async def _exchange(self, queue: str, free: int) -> list[Message[Any]]:
        """Acknowledge what is done and fetch so many, in one round trip."""
        done = self._done.pop(queue, [])
        try:
            return await self._queue.fetch(queue, self._worker_id, free, done) if done or free else []
        except BaseException:
            self._done[queue].extend(done)
            raise

    def _begin(self, message: Message[Any], queue: str, kind: str) -> None:
        self._in_hand[queue, message.args[0]] += 1
        self._running[kind] += 1
        self._suspects += queue.endswith(SUSPECTS)
        task = asyncio.create_task(self._run(message, queue, kind))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, message: Message[Any], queue: str, kind: str) -> None:
        job_id, counts_no_more = message.args[0], False
        expect_with(self._expect)
        try:
            counts_no_more = await self._process(message, queue)
        except PenstockError as error:
            log.warning("waiting", why=error.detail, job_id=job_id)  # it is put back, because nobody has it in hand
        except Exception:
            log.exception("unhandled error", job_id=job_id)
        finally:
            self._in_hand[queue, job_id] -= 1
            if not self._in_hand[queue, job_id]:
                del self._in_hand[queue, job_id]
                if counts_no_more:
                    self._done[queue].append(job_id)
            self._running[kind] -= 1
            self._suspects -= queue.endswith(SUSPECTS)
            self._wake.set()

    @contextmanager
    def _expect(self, kind: str) -> Iterator[None]:
        self._expected[kind] += 1
        self._wake.set()
        try:
            yield
        finally:
            self._expected[kind] -= 1

    async def _process(self, message: Message[Any], queue: str) -> bool:
        """With Dramatiq's middleware around it."""
        proxy = MessageProxy(message)
        try:
            self._broker.emit_before("process_message", proxy)
            counts_no_more = await self._make(message.args[0], queue)
        except SkipMessage:
            self._broker.emit_after("skip_message", proxy)
            return True
        except BaseException as error:
            self._broker.emit_after("process_message", proxy, exception=error)
            raise
        self._broker.emit_after("process_message", proxy, result=None)
        return counts_no_more
