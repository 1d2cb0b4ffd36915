"""The product as real processes: Redis, web processes, workers. Each can be killed and started again."""

import asyncio
import itertools
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import redis.asyncio

from core.models.pools import Worker
from core.redis.client import Scripts, connect
from core.redis.workers import WorkerRegistry
from tests.polling import until
from tests.ports import free_port

START_S = 240
STOP_S = 15


class Running:
    """One process; its output is in ``log``."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self.process = process
        self.log = log

    @property
    def pid(self) -> int:
        return self.process.pid

    async def kill(self, number: signal.Signals = signal.SIGKILL) -> int:
        """Send a signal and wait for the end; the exit code."""
        with suppress(ProcessLookupError):
            self.process.send_signal(number)
        return await asyncio.wait_for(self.process.wait(), STOP_S)


class Stack:
    """Processes over one data folder. Environment settings are given as keywords without their prefix."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.folder = folder
        self.redis_port = free_port()
        self.redis_url: str = settings.get("redis_url", f"redis://127.0.0.1:{self.redis_port}/0")
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._settings = {"redis_url": self.redis_url, "data_dir": folder / "data", "port": self.port, "log_format": "json", **settings}
        self.running: list[Running] = []
        self._numbers = itertools.count()

    @property
    def environment(self) -> dict[str, str]:
        """What the processes are given: this process's environment without its own settings, the hub's that other tests make among them."""
        ours = ("PENSTOCK_", "HF_")
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(ours)}  # noqa: TID251 - handing it on
        return inherited | {f"PENSTOCK_{name.upper()}": str(value) for name, value in self._settings.items()}

    async def start(self, *command: str, environment: Mapping[str, str] | None = None, **settings: Any) -> Running:
        """Any command. ``environment``: what libraries find there, such as ATEN_CPU_CAPABILITY, beside our settings."""
        log = self.folder / f"{next(self._numbers):02}-{Path(command[0]).name}-{command[-1].rpartition('/')[2]}.log"
        ours = {f"PENSTOCK_{name.upper()}": str(value) for name, value in settings.items()}
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        try:
            process = await asyncio.create_subprocess_exec(
                *command, env=self.environment | ours | dict(environment or {}), stdout=descriptor, stderr=descriptor
            )
        finally:
            os.close(descriptor)
        started = Running(process, log)
        self.running.append(started)
        return started

    async def start_redis(self) -> Running:
        """A Redis with an append-only file, and wait until it answers.

        It syncs before it answers: one that syncs once a second holds writes back while the disk is slow, and would lose them when it is
        killed (docs/settings.md, What a power cut takes).
        """
        folder = self.folder / "redis"
        folder.mkdir(exist_ok=True)
        place = ("--port", str(self.redis_port), "--bind", "127.0.0.1", "--dir", str(folder))
        options = (*place, "--save", "", "--appendonly", "yes", "--appendfsync", "always")
        started = await self.start("redis-server", *options)
        client = redis.asyncio.Redis.from_url(self.redis_url)

        async def answers() -> bool:
            with suppress(redis.RedisError, OSError):
                return bool(await client.ping())
            return False

        await until(answers, "Redis answers", timeout_s=START_S)
        await client.aclose()
        return started

    async def start_api(self, **settings: Any) -> Running:
        """A web process, and wait until it is alive."""
        started = await self.start(sys.executable, "-m", "api", **settings)
        url = f"http://127.0.0.1:{settings.get('port', self.port)}/health"
        async with aiohttp.ClientSession() as session:

            async def alive() -> bool:
                assert started.process.returncode is None, started.log.read_text()[-2000:]
                with suppress(aiohttp.ClientError, OSError):
                    async with session.get(url) as response:
                        return response.status == 200
                return False

            await until(alive, "the web process is alive", timeout_s=START_S)
        return started

    async def start_worker(self, pool: str, *, program: tuple[str, ...] = ("workers",), **settings: Any) -> Running:
        """A worker process without a supervisor, and wait until it has registered. ``settings``: as of ``start``."""
        started = await self.start(sys.executable, "-m", *program, pool, **settings)

        async def registered() -> bool:
            assert started.process.returncode is None, started.log.read_text()[-2000:]
            return any(worker.pid == started.pid for worker in await self.workers())

        await until(registered, f"the {pool} worker has registered", timeout_s=START_S)
        return started

    async def workers(self) -> list[Worker]:
        """The registry's live workers."""
        client = connect(self.redis_url)
        try:
            return await WorkerRegistry(Scripts(client, patience_s=5)).list()
        finally:
            await client.aclose()

    async def close(self) -> None:
        """End everything that still runs, youngest first."""
        for running in reversed(self.running):
            if running.process.returncode is None:
                await running.kill(signal.SIGKILL)


@asynccontextmanager
async def stack_in(folder: Path, **settings: Any) -> AsyncIterator[Stack]:
    """A stack that is gone when the block ends."""
    stack = Stack(folder, **settings)
    try:
        yield stack
    finally:
        await stack.close()
