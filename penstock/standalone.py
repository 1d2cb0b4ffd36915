"""Processes started one by one, for operators: a web node, a worker."""

import asyncio
import os
import sys
from functools import partial

import msgspec

from core.errors import SettingsError
from core.models.pools import Pool
from core.settings import Settings
from penstock import data_dir, gpus, programs
from penstock.console import Console
from penstock.environment import child_environment
from penstock.process_group import ProcessGroup
from penstock.supervisor import CANNOT_USE, CannotStart, Program


def api(settings: Settings, console: Console) -> None:
    """Web processes, as many as are set. A single one takes this process's place."""
    settings = with_redis(settings)
    given = {**_given(settings), "host": settings.host, "port": settings.port}
    many = settings.api_processes
    if many == 1:
        command = (sys.executable, "-m", "api")
        os.execve(command[0], command, child_environment(given))  # noqa: S606 - our own command, no shell
    asyncio.run(_keep([programs.api(given, number=number + 1, of=many) for number in range(many)], console))


def worker(pool: Pool, settings: Settings, console: Console) -> None:
    """A pool's worker, started again when it dies. One of the GPU pool takes a GPU that no other on this machine has."""
    settings = with_redis(settings)
    gpu = gpus.for_worker(settings) if pool is Pool.GPU else None
    asyncio.run(_keep([programs.worker(pool, _given(settings), drain_s=settings.drain_s, gpu=gpu)], console))


def with_redis(settings: Settings) -> Settings:
    """The same settings with a Redis: the given one, else that of the ``up`` that runs on the data folder.

    Raises SettingsError where there is neither.
    """
    if settings.redis_url:
        return settings
    running = data_dir.find_running(settings.data_dir)
    if running is None or not running.redis_url:
        message = f"PENSTOCK_REDIS_URL is not set, and no `penstock up` runs on the data folder {settings.data_dir.absolute()}."
        raise SettingsError(message)
    return msgspec.structs.replace(settings, redis_url=running.redis_url)


def _given(settings: Settings) -> dict[str, object]:
    return {"redis_url": settings.redis_url, "data_dir": settings.data_dir}


async def _keep(kept: list[Program], console: Console) -> None:
    family = ProcessGroup()
    for program in kept:
        family.start(program, partial(console.say, program.name))
    try:
        await family.stopped()
    except CannotStart:
        sys.exit(CANNOT_USE)  # it has said why
    finally:
        await family.stop()
