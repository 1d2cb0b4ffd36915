"""The worker process, assembled: event loop, services, broker, actors, heartbeat; and its end."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack

import msgspec
import uvloop
from dramatiq import Broker

from core.collector import spare_the_collector
from core.errors import PenstockError
from core.jobs import EMBED, GENERATE, KINDS, Drain, queue_of, queues_of
from core.jobs.placement import begun_queue
from core.jobs.reaper import reap
from core.logging import get_logger
from core.models.catalog import Model, Task
from core.models.pools import DRAINED_CODE, Pool, Worker, WorkerState
from core.services import Services, open_services
from core.services.models.catalogue import LOOK_TOPIC
from core.settings import Settings
from workers.assembling import PoolWork, actors_of
from workers.attempt import Attempts
from workers.fetching import Fetching
from workers.leases import Leases

RESTART_S = 1.0
RETRY_MODELS_S = 5.0
DRAIN_S = 0.8
FATAL = 3
MEMORY_STEP = 8 << 20

log = get_logger()


class WorkerProcess:
    """One process of one pool.

    It ends when SIGTERM or SIGINT has been obeyed: nothing fetched any more, what cannot be handed back finished within a grace, everything
    else handed back. Its exit code: 0; FATAL where its device failed; DRAINED_CODE where the registry has told it to go for good.
    """

    def __init__(self, pool: Pool, settings: Settings, load: Callable[[Callable[[str], None]], PoolWork]) -> None:
        """``load`` makes what the pool's process works with; it is given what to call when that has failed for good, and why."""
        self._pool = pool
        self._settings = settings
        self._id = f"{pool}-{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:6]}"
        self._started_at = int(time.time())
        self._models: Sequence[Model] = ()
        self._look = asyncio.Event()
        self._stop = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._exit_code = 0
        self._work = load(self._fail)

    def run(self) -> None:
        """Serve until told to stop. It does not return: the process ends here."""
        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
        asyncio.run(self._serve())

    def _fail(self, reason: str) -> None:
        """The device has failed: hand everything back and go. Called on whatever thread."""
        log.error("device failed", worker=self._id, why=reason)
        self._exit_code = FATAL
        if self._loop:
            self._loop.call_soon_threadsafe(self._stop.set)
        else:
            self._stop.set()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self._stop.set)
        async with AsyncExitStack() as stack:
            services = await stack.enter_async_context(open_services(self._settings))
            await self._work.open()
            self._assemble(services)
            await self._publish(services)
            await services.workers.report(self._report())
            for duty in (
                lambda: self._leases.live(self._report, self._look.set),
                self._leases.hear_cancels,
                self._fetching.run,
                self._fetching.hear,
                self._fetching.compare,
                lambda: reap(services.reaper),
                lambda: self._republish(services),
                lambda: self._hear(services),
            ):
                stack.push_async_callback(_cancel, asyncio.create_task(_kept_up(duty)))
            spare_the_collector()
            log.info(
                "worker ready", worker=self._id, pool=self._pool, device=self._work.device, models=tuple(model.id for model in self._models)
            )
            await self._told_to_stop()
            await self._leave(services)
            log.info("worker drained", worker=self._id)
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(self._exit_code)  # everything is handed back; waiting for idle threads would only delay a deploy

    def _assemble(self, services: Services) -> None:
        """On the event loop: the pool's actors, and what gives them their jobs."""
        actors = actors_of(self._pool, self._work, services)
        self._kinds = tuple(actors)
        self._leases = Leases(services.claims, services.events, services.workers, lease_ms=self._settings.lease_ms)
        attempts = Attempts(
            worker_id=self._id,
            claims=services.claims,
            queue=services.queue,
            leases=self._leases,
            placement=services.placement,
            actors=actors,
            flush_ms=self._settings.flush_ms,
            time_limit_s=self._settings.answer_timeout_s,
        )
        self._fetching = Fetching(
            worker_id=self._id,
            pool=self._pool,
            queue=services.queue,
            claims=services.claims,
            events=services.events,
            make=attempts.make,
            places={kind: KINDS[kind].places or self._settings.max_batch for kind in actors},
            broker=Broker(middleware=[]),
        )

    async def _told_to_stop(self) -> None:
        """By a signal, by the device, or by an operator by way of the registry."""
        waiting = [asyncio.create_task(event.wait()) for event in (self._stop, self._leases.draining)]
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        if not self._stop.is_set():
            self._exit_code = DRAINED_CODE

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
        self._models = models = [await self._with_tokenizer(services, model) for model in models]
        self._serve_models()
        if source:
            await services.catalogue.publish(source, models)
        return well

    async def _with_tokenizer(self, services: Services, model: Model) -> Model:
        data = self._work.tokenizers.get(model.id)
        return msgspec.structs.replace(model, tokenizer=await services.tokenizers.keep(data)) if data else model

    def _serve_models(self) -> None:
        """Their queues, and those of answers that were begun by whoever computes the same bits."""
        numerics = self._work.numerics()
        queues: dict[str, str] = {}
        for kind in self._kinds:
            task = Task.EMBEDDING if kind in EMBED.values() else Task.CHAT
            for queue in queues_of(kind, tuple(model.id for model in self._models if task in model.tasks)):
                queues[queue] = kind
        for model, found in numerics.items():
            if found.fingerprint and found.continued == "exact":
                queue = queue_of(GENERATE[self._pool], model)
                queues = {begun_queue(queue, found.fingerprint): queues.get(queue, GENERATE[self._pool]), **queues}
        self._fetching.serve(queues)

    async def _leave(self, services: Services) -> None:
        """Tell that no more is taken, end or hand back what runs, and go out of the registry."""
        self._fetching.draining = True
        self._leases.draining.set()
        grace_s = self._settings.drain_s if any(KINDS[kind].drain is Drain.FINISH for kind in self._kinds) else DRAIN_S
        with contextlib.suppress(TimeoutError, PenstockError):
            await asyncio.wait_for(services.workers.report(self._report()), DRAIN_S)
        with contextlib.suppress(TimeoutError, PenstockError):
            await asyncio.wait_for(self._leases.drain(grace_s), grace_s + DRAIN_S)
        with contextlib.suppress(TimeoutError, PenstockError):
            await asyncio.wait_for(self._go(services), DRAIN_S)

    async def _go(self, services: Services) -> None:
        """With nothing in hand it is forgotten; else it counts as dead from now on, and whoever looks next puts back what it has."""
        if await self._fetching.leave():
            await services.workers.forget(self._id)
        else:
            await services.workers.beat(self._id, 0)

    def _report(self) -> Worker:
        self._serve_models()
        draining = self._leases.draining.is_set()
        return Worker(
            id=self._id,
            pool=self._pool,
            host=socket.gethostname(),
            pid=os.getpid(),
            device=self._work.device,
            memory_bytes=_resident_bytes() // MEMORY_STEP * MEMORY_STEP,
            models=tuple(model.id for model in self._models),
            running=len(self._leases),
            started_at=self._started_at,
            numerics=self._work.numerics(),
            queues=self._fetching.queues,
            state=WorkerState.DRAINING if draining else WorkerState.READY,
        )


async def _kept_up(duty: Callable[[], object]) -> None:
    """A background duty must outlive a Redis that is away for long, or any bug of one turn."""
    while True:
        try:
            await duty()  # type: ignore[misc]  # every duty is a coroutine function
        except PenstockError as error:
            log.warning("waiting", why=error.detail)
        except Exception:
            log.exception("unhandled error")
        await asyncio.sleep(RESTART_S)


async def _cancel(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def _resident_bytes() -> int:
    with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123 - a kernel file, not a path of ours
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
