"""Who works, and what waits."""

import asyncio
import socket
import time
from collections.abc import Sequence

from core.jobs import KINDS
from core.jobs.queue import JobQueue
from core.models.pools import Worker
from core.redis.client import Scripts, connect
from core.redis.workers import WorkerRegistry
from core.settings import Settings
from penstock.standalone import with_redis

MB = 1_000_000
MINUTE_S, HOUR_S, DAY_S = 60, 3_600, 86_400
NUMERICS = ("MODEL", "HOST", "PID", "FINGERPRINT", "NUMERICS")
HEADINGS = ("POOL", "HOST", "PID", "DEVICE", "MEMORY", "RUNNING", "UP", "MODELS")


def status(settings: Settings, *, here: bool = False) -> tuple[str, bool]:
    """Three tables: the workers, how those with local models compute them, and what waits; and whether one lives. ``here``: on this host.

    Raises SettingsError where no Redis is known, Unavailable where it cannot be reached.
    """
    workers, waiting = asyncio.run(_ask(with_redis(settings).redis_url))
    shown = [worker for worker in workers if not here or worker.host == socket.gethostname()]
    tables = [table(HEADINGS, [_row(worker) for worker in shown]) if shown else "No worker is alive.\n"]
    computed = sorted(row for worker in shown for row in _numerics(worker))
    if computed:
        tables.append(table(NUMERICS, computed))
    tables.append(table(("QUEUE", "WAITING"), [(queue, str(length)) for queue, length in waiting]))
    return "\n".join(tables), bool(shown)


async def _ask(redis_url: str) -> tuple[list[Worker], list[tuple[str, int]]]:
    redis, broker = connect(redis_url), connect(redis_url, broker=True)
    try:
        main, queue = Scripts(redis, patience_s=0), JobQueue(Scripts(redis, patience_s=0), Scripts(broker, patience_s=0))
        return await WorkerRegistry(main).list(), [(kind.queue, await queue.length(kind.queue)) for kind in KINDS]
    finally:
        await redis.aclose()
        await broker.aclose()


def _row(worker: Worker) -> tuple[str, ...]:
    models = ", ".join(worker.models) or "-"
    memory = f"{worker.memory_bytes // MB} MB"
    return (worker.pool, worker.host, str(worker.pid), worker.device, memory, str(worker.running), _since(worker.started_at), models)


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
