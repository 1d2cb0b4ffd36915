"""Who works, and what waits."""

import asyncio
import socket
import time
from collections.abc import Sequence
from contextlib import suppress

import msgspec

from core.errors import Unavailable
from core.jobs.queue import JobQueue
from core.models.pools import Worker
from core.redis.client import RedisError, Scripts, connect
from core.redis.keys import base_queue
from core.redis.workers import WorkerRegistry
from core.settings import Settings
from penstock import redis_memory
from penstock.data_dir import find_running
from penstock.redis_memory import Memory
from penstock.standalone import with_redis

MB = 1_000_000
MINUTE_S, HOUR_S, DAY_S = 60, 3_600, 86_400
NUMERICS = ("MODEL", "HOST", "PID", "FINGERPRINT", "NUMERICS")
FAILING = ("FAILING", "DIES AGAIN AND AGAIN, THE LAST TIME BY")
REDIS = ("REDIS", "LIMIT", "USED", "WHEN FULL")
HEADINGS = ("POOL", "HOST", "PID", "DEVICE", "MEMORY", "RUNNING", "UP", "MODELS")


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The same for programs. ``waiting``: jobs by queue; ``redis``: None where nobody says; ``failing``: by program, how it died last."""

    workers: list[Worker]
    waiting: dict[str, int]
    redis: Memory | None
    failing: dict[str, str]


def status(settings: Settings, *, here: bool = False, as_json: bool = False) -> tuple[str, bool]:
    """Tables, and whether a worker lives: the workers, how those with local models compute them, what waits, Redis, and what fails.

    ``here``: only workers of this host. ``as_json``: a ``Report`` in place of tables. What fails is known of the programs of the ``up``
    that runs on the data folder.

    Raises SettingsError where no Redis is known, Unavailable where it cannot be reached.
    """
    running = find_running(settings.data_dir)
    failing = running.failing if running else {}
    try:
        workers, waiting, memory = asyncio.run(_ask(with_redis(settings).redis_url))
    except Unavailable as error:
        if not failing:
            raise
        dying = ", ".join(f"{name} ({death})" for name, death in failing.items())
        message = f"{error.detail} What `penstock up` keeps running here dies again and again: {dying}."
        raise Unavailable(message) from None
    shown = [worker for worker in workers if not here or worker.host == socket.gethostname()]
    if as_json:
        report = Report(workers=shown, waiting=dict(waiting), redis=memory, failing=dict(failing))
        return f"{msgspec.json.format(msgspec.json.encode(report)).decode()}\n", bool(shown)
    tables = [table(HEADINGS, [_row(worker) for worker in shown]) if shown else "No worker is alive.\n"]
    computed = sorted(row for worker in shown for row in _numerics(worker))
    if computed:
        tables.append(table(NUMERICS, computed))
    tables.append(table(("QUEUE", "WAITING"), [(queue, str(length)) for queue, length in waiting]))
    if memory:
        tables.append(table(REDIS, [_memory(memory)]))
    if failing:
        tables.append(table(FAILING, list(failing.items())))
    return "\n".join(tables), bool(shown)


async def _ask(redis_url: str) -> tuple[list[Worker], list[tuple[str, int]], Memory | None]:
    redis = connect(redis_url)
    try:
        scripts = Scripts(redis, patience_s=0)
        queue, workers = JobQueue(scripts), await WorkerRegistry(scripts).list()
        queues = sorted({*await queue.queues(), *(queue for worker in workers for queue in worker.queues)})
        waiting = [
            (name, length) for name, length in zip(queues, await queue.lengths(queues), strict=True) if length or name == base_queue(name)
        ]
        memory = None
        with suppress(RedisError):  # some providers tell nobody
            memory = await redis_memory.read(redis)
        return workers, waiting, memory
    finally:
        await redis.aclose()


def _row(worker: Worker) -> tuple[str, ...]:
    models = ", ".join(worker.models) or "-"
    memory = f"{worker.memory_bytes // MB} MB"
    return (worker.pool, worker.host, str(worker.pid), worker.device, memory, str(worker.running), _since(worker.started_at), models)


def _memory(memory: Memory) -> tuple[str, ...]:
    limit = (f"{memory.limit_bytes // MB} MB", f"{memory.percent} %") if memory.limit_bytes else ("none", "-")
    return (f"{memory.used_bytes // MB} MB", *limit, memory.policy)


def _numerics(worker: Worker) -> list[tuple[str, ...]]:
    return [
        (model, worker.host, str(worker.pid), found.fingerprint or "-", found.text or found.continued)
        for model, found in worker.numerics.items()
    ]


def _since(started_at: int) -> str:
    seconds = max(0, int(time.time()) - started_at)
    for unit, name in ((DAY_S, "d"), (HOUR_S, "h"), (MINUTE_S, "min")):
        if seconds >= unit:
            return f"{seconds // unit} {name}"
    return f"{seconds} s"


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as they need to be."""
    widths = [max(len(row[column]) for row in (headings, *rows)) for column in range(len(headings))]
    return "".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() + "\n" for row in (headings, *rows)
    )
