"""One start for everything: Redis where none is given, the web process, one worker of each pool."""

import asyncio
import importlib.util
import os
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import msgspec

from core.models.pools import Pool
from core.settings import Settings, with_secret_key
from core.storage import refuse_newer
from gpu.sources import sources
from penstock import __version__, data_dir, gpus, ports, programs, redis_memory
from penstock.console import Console
from penstock.data_dir import DataDir, Running
from penstock.logs import Log
from penstock.process_group import ProcessGroup
from penstock.ready import wait_until_ready
from penstock.redis import EmbeddedRedis
from penstock.supervisor import Program, Supervisor

DRAIN_S = 1  # everything stops, and with it whoever reads an answer
ANY_HOST = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104 - what an address stands for; nothing is bound here
LATE_S = 60.0
LOCAL_MODELS = importlib.util.find_spec("torch") is not None


def up(settings: Settings, console: Console, *, verbose: bool = False) -> None:
    """Run until a signal. Raises SettingsError where something must be set right first."""
    settings = msgspec.structs.replace(settings, data_dir=settings.data_dir.absolute())
    with data_dir.hold(settings.data_dir, url_of(settings)) as held:
        ports.claim(settings.host, settings.port)
        sources(settings)  # a model that is not there is told before anything is started, and so is a store of a newer build
        asyncio.run(refuse_newer(settings))
        settings = with_secret_key(settings)
        embedded = None if settings.redis_url else EmbeddedRedis(settings, held.lock_fd)
        asyncio.run(_Up(settings, held, embedded, console, verbose=verbose).run())


def url_of(settings: Settings) -> str:
    """Where a browser on this machine finds it."""
    host = ANY_HOST.get(settings.host, settings.host)
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.port}"


class _Up:
    def __init__(self, settings: Settings, held: DataDir, embedded: EmbeddedRedis | None, console: Console, *, verbose: bool) -> None:
        self._settings = settings
        self._folder = held
        self._embedded = embedded
        self._console = console
        self._verbose = verbose
        self._running = Running(pid=os.getpid(), url=url_of(settings))
        self._began = time.monotonic()
        self._logs: dict[str, Log] = {}
        self._watch: asyncio.Task[None] | None = None
        self._redis: list[Supervisor] = []
        self._web: list[Supervisor] = []
        self._workers: list[Supervisor] = []

    async def run(self) -> None:
        family = ProcessGroup()
        try:
            if await self._start(family):
                await family.stopped()
        finally:
            self._console.say("", "Stopping …")
            if self._watch:
                self._watch.cancel()
            for members in (self._web, self._workers, self._redis):
                await family.stop(members)
            for log in self._logs.values():
                log.close()
            if self._embedded:
                self._embedded.leave()
            self._console.say("", "Stopped.")

    async def _start(self, family: ProcessGroup) -> bool:
        """Start everything; False where a signal came before it was ready."""
        settings = self._settings
        self._console.say("", f"Penstock {__version__}, data in {self._folder.path}")
        if self._embedded and not await self._start_redis(family, self._embedded):
            return False
        redis_url = self._embedded.url if self._embedded else settings.redis_url
        self._running = msgspec.structs.replace(self._running, redis_url=redis_url)
        self._tell()
        given = {"redis_url": redis_url, "data_dir": settings.data_dir, "host": settings.host, "port": settings.port, "log_format": "json"}
        self._web += [self._keep(family, program) for program in self._web_programs(given)]
        self._workers += [self._keep(family, program) for program in self._worker_programs(given)]
        if not await self._ready(family):
            return False
        self._console.say("", f"Ready after {time.monotonic() - self._began:.1f} s. Logs are in {self._logs_dir}, Ctrl-C stops.")
        self._console.say("", f"Penstock answers at {url_of(settings)}")
        return True

    async def _start_redis(self, family: ProcessGroup, embedded: EmbeddedRedis) -> bool:
        self._redis.append(self._keep(family, embedded.program))
        if not await family.until_stopped(asyncio.create_task(embedded.answers())):
            return False
        megabytes = embedded.limit_bytes // redis_memory.MB
        self._console.say(
            "redis", f"ready (redis-server {embedded.version}, with an append-only file and at most {megabytes} MB of memory)"
        )
        self._watch = asyncio.create_task(redis_memory.watch(embedded.url, partial(self._console.say, "redis")))
        return True

    async def _ready(self, family: ProcessGroup) -> bool:
        """Wait until it can be used. Without torch some models may never be there; whatever else is asked for works."""
        late = asyncio.get_running_loop().call_later(LATE_S, self._console.say, "", f"Still starting; see the logs in {self._logs_dir}")
        host, path = ANY_HOST.get(self._settings.host, self._settings.host), "/ready" if LOCAL_MODELS else "/health"
        try:
            return await family.until_stopped(asyncio.create_task(wait_until_ready(host, self._settings.port, path)))
        finally:
            late.cancel()

    def _web_programs(self, given: Mapping[str, object]) -> list[Program]:
        many = self._settings.api_processes
        return [programs.api(given, number=number + 1, of=many, keep_fds=(self._folder.lock_fd,)) for number in range(many)]

    def _worker_programs(self, given: Mapping[str, object]) -> list[Program]:
        """One worker of each pool; of the GPU pool one for each GPU."""
        keep = (self._folder.lock_fd,)
        found = [programs.worker(pool, given, drain_s=DRAIN_S, keep_fds=keep) for pool in (Pool.RELAY, Pool.CPU)]
        if not LOCAL_MODELS:
            self._console.say("gpu", "not started: torch is not installed, so there are no local models (see penstock doctor)")
            return found
        devices: Sequence[gpus.TakenGpu | None] = gpus.for_workers(self._settings) or [None]
        for number, gpu in enumerate(devices, start=1):
            found.append(programs.worker(Pool.GPU, given, drain_s=DRAIN_S, gpu=gpu, number=number, of=len(devices), keep_fds=keep))
        return found

    def _keep(self, family: ProcessGroup, program: Program) -> Supervisor:
        def say(text: str) -> None:
            self._console.say(program.name, text)

        def say_and_tell(text: str) -> None:
            say(text)
            self._tell()

        log = self._logs[program.name] = Log(self._logs_dir / f"{program.name.replace(' ', '-')}.log", say, verbose=self._verbose)
        return family.start(program, say_and_tell, log)

    def _tell(self) -> None:
        """Leave word of how things are."""
        kept = (*self._redis, *self._web, *self._workers)
        failing = {supervisor.program.name: supervisor.failing for supervisor in kept if supervisor.failing}
        self._folder.tell(msgspec.structs.replace(self._running, failing=failing))

    @property
    def _logs_dir(self) -> Path:
        return self._folder.path / "logs"
