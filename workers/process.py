"""The worker process, assembled: event loop, services, broker, actors, heartbeat; and its end."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
import threading
import time
import uuid
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from typing import Any, Protocol

import uvloop
from dramatiq.asyncio import EventLoopThread
from dramatiq.logging import get_logger as get_dramatiq_logger
from dramatiq.worker import Worker as DramatiqWorker

from core.errors import PenstockError
from core.jobs import EMBED, GENERATE, Job, PullModel, queues
from core.logging import get_logger
from core.models.catalog import Model
from core.models.numerics import Numerics
from core.models.pools import Pool, Worker
from core.services import Services, open_services
from core.services.models.models import LOOK_TOPIC
from core.settings import Settings
from pipelines.chat import Generator
from pipelines.embedding import Embedder
from pipelines.pulls.puller import Puller
from workers.actors.embeddings import Embeddings
from workers.actors.pulls import Pulls
from workers.actors.replies import Replies
from workers.broker import WakeBroker
from workers.leases import Leases
from workers.offers import Offers, Taker

IDLE_MS = 5_000
INTERRUPT_CHECK_S = 3_600.0
HEARTBEAT_S = 1.0
RETRY_MODELS_S = 5.0
DRAIN_S = 0.8
RELAYED_ANSWERS = 128
RELAYED_EMBEDDINGS = 32
LOCAL_EMBEDDINGS = 16
PULLS = 4
SWITCH_S = 0.0005  # a waking thread waits this long for a busy one, not 5 ms: jobs pass from thread to thread

log = get_logger()


class PoolWork(Protocol):
    """What differs between pools: how answers are made, and what with."""

    generator: Generator | None
    embedder: Embedder | None
    puller: Puller | None
    device: str

    async def open(self) -> None:
        """On the event loop, before the first job."""

    async def models(self) -> tuple[str, Sequence[Model], bool]:
        """The part of the catalogue that this process answers for: (its name, the models, whether all is well)."""

    def numerics(self) -> dict[str, Numerics]:
        """Of the local models that are loaded."""


class WorkerProcess:
    """One process of one pool. ``run`` returns when SIGTERM or SIGINT has been obeyed: nothing fetched any more, everything handed back."""

    def __init__(self, pool: Pool, settings: Settings, work: PoolWork) -> None:
        self._pool = pool
        self._settings = settings
        self._work = work
        self._id = f"{pool}-{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:6]}"
        self._started_at = int(time.time())
        self._places = _places(pool, settings)
        self._broker = WakeBroker(settings.redis_url, middleware=[], places=self._places)
        self._models: tuple[str, ...] = ()
        self._look = asyncio.Event()
        self._taker: Taker | None = None

    def run(self) -> None:
        """Serve until told to stop."""
        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
        sys.setswitchinterval(SWITCH_S)
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        loop = EventLoopThread(get_dramatiq_logger(__name__), interrupt_check_ival=INTERRUPT_CHECK_S)
        loop.daemon = True
        loop.start(timeout=10)
        stack = AsyncExitStack()
        services, leases = loop.run_coroutine(self._open(stack))
        worker = DramatiqWorker(self._broker, worker_timeout=IDLE_MS, worker_threads=1)
        worker.start()
        log.info("worker ready", worker=self._id, pool=self._pool, device=self._work.device, models=self._models)
        stop.wait()
        self._broker.drain()
        with contextlib.suppress(TimeoutError, PenstockError):
            loop.run_coroutine(asyncio.wait_for(self._leave(services, leases), DRAIN_S))
        self._requeue(worker)
        log.info("worker drained", worker=self._id)

    def _declare(self, services: Services, leases: Leases) -> None:
        """On the event loop. The pool's actors: each of its queues' jobs goes to the maker of answers, or of vectors, or to who pulls."""
        makers: dict[type[Job] | None, Callable[[str], Coroutine[Any, Any, None]]] = {}
        if self._work.generator:
            kind = GENERATE[self._pool]
            replies = Replies(
                worker_id=self._id,
                claims=services.claims,
                leases=leases,
                events=services.events,
                answers=services.answers,
                generator=self._work.generator,
                flush_ms=self._settings.flush_ms,
                timeout_s=self._settings.answer_timeout_s,
            )
            self._taker = Taker(services.events, replies.make, self._places[kind.queue])
            makers[kind] = self._taker.make
        if self._work.embedder:
            makers[EMBED.get(self._pool)] = Embeddings(
                worker_id=self._id, claims=services.claims, leases=leases, results=services.results, embedder=self._work.embedder
            ).make
        if self._work.puller:
            makers[PullModel] = Pulls(
                worker_id=self._id,
                claims=services.claims,
                leases=leases,
                events=services.events,
                pulls=services.pulls,
                puller=self._work.puller,
            ).make
        for made, make in makers.items():
            if made:
                self._broker.declare(made, make, asyncio.get_running_loop())

    async def _open(self, stack: AsyncExitStack) -> tuple[Services, Leases]:
        services = await stack.enter_async_context(open_services(self._settings))
        await self._work.open()
        offers = Offers(claims=services.claims, queue=services.queue, events=services.events, pools=services.workers)
        leases = Leases(services.claims, services.queue, services.events, lease_ms=self._settings.lease_ms, offer=offers.offer)
        self._declare(services, leases)
        await self._publish(services)
        await services.workers.report(self._report(leases))
        for duty in (
            leases.renew,
            leases.reap,
            leases.hear_cancels,
            lambda: self._beat(services, leases),
            lambda: self._republish(services),
            lambda: self._hear(services),
        ):
            stack.push_async_callback(_cancel, asyncio.create_task(_kept_up(duty)))
        return services, leases

    async def _beat(self, services: Services, leases: Leases) -> None:
        while True:
            await services.workers.report(self._report(leases))
            await asyncio.sleep(HEARTBEAT_S)

    async def _republish(self, services: Services) -> None:
        while True:
            well = await self._publish(services)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._look.wait(), self._settings.models_refresh_s if well else RETRY_MODELS_S)
            self._look.clear()

    async def _hear(self, services: Services) -> None:
        """Look again when somebody says so."""
        async for told in services.events.hear(LOOK_TOPIC):
            if told is not None:
                self._look.set()

    async def _publish(self, services: Services) -> bool:
        source, models, well = await self._work.models()
        self._models = tuple(model.id for model in models)
        if source:
            await services.models.publish(source, models)
        return well

    async def _leave(self, services: Services, leases: Leases) -> None:
        if self._taker:
            await self._taker.leave()
        await leases.drain()
        await services.workers.leave(self._id)

    def _requeue(self, worker: DramatiqWorker) -> None:
        """Fetched messages that no thread has taken go back."""
        with contextlib.suppress(Exception):
            for name, thread in worker.consumers.items():
                waiting = [item.message for item in list(worker.work_queue.queue) if item.message.queue_name == name]
                if thread.consumer and waiting:
                    thread.consumer.requeue(waiting)

    def _report(self, leases: Leases) -> Worker:
        numerics = self._work.numerics()
        if self._taker:
            self._taker.listen(numerics)
        return Worker(
            id=self._id,
            pool=self._pool,
            host=socket.gethostname(),
            pid=os.getpid(),
            device=self._work.device,
            memory_bytes=_resident_bytes(),
            models=self._models,
            running=len(leases),
            started_at=self._started_at,
            numerics=numerics,
        )


def _places(pool: Pool, settings: Settings) -> dict[str, int]:
    """How many jobs of each queue this process has in hand at most: one kind's never wait for another's."""
    wanted = {
        "gpu.generate": settings.max_batch,
        "gpu.embed": LOCAL_EMBEDDINGS,
        "relay.generate": RELAYED_ANSWERS,
        "relay.embed": RELAYED_EMBEDDINGS,
        "cpu.pull": PULLS,
    }
    return {queue: wanted.get(queue, 1) for queue in queues(pool)}


async def _kept_up(duty: Callable[[], object]) -> None:
    """A background duty must outlive a Redis that is away for long, or any bug of one turn."""
    while True:
        try:
            await duty()  # type: ignore[misc]  # every duty is a coroutine function
        except PenstockError as error:
            log.warning("waiting", why=error.detail)
        except Exception:
            log.exception("unhandled error")
        await asyncio.sleep(HEARTBEAT_S)


async def _cancel(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def _resident_bytes() -> int:
    with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123 - a kernel file, not a path of ours
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
