"""The product's own processes, as programs to be kept running."""

import sys
from collections.abc import Mapping

from core.models.pools import DRAINED_CODE, Pool
from penstock.environment import child_environment
from penstock.gpus import TakenGpu
from penstock.supervisor import Program

API_STOP_S = 4.0
WORKER_STOP_S = 2.5


def api(settings: Mapping[str, object], *, number: int = 1, of: int = 1, keep_fds: tuple[int, ...] = ()) -> Program:
    """A web process, one ``of`` several that share the port."""
    return Program(
        name="api" if of == 1 else f"api {number}",
        command=(sys.executable, "-m", "api"),
        environment=child_environment(settings),
        stop_s=API_STOP_S,
        keep_fds=keep_fds,
    )


def worker(  # noqa: PLR0913 - each by its name
    pool: Pool,
    settings: Mapping[str, object],
    *,
    drain_s: int,
    gpu: TakenGpu | None = None,
    number: int = 1,
    of: int = 1,
    keep_fds: tuple[int, ...] = (),
) -> Program:
    """A pool's worker process, one ``of`` several; ``gpu``: the only one that it sees.

    ``drain_s``: how long one that relays may take to finish what it has begun.
    """
    return Program(
        name=pool.value if of == 1 else f"{pool.value} {number}",
        command=(sys.executable, "-m", "workers", pool.value),
        environment=child_environment({**settings, "drain_s": drain_s}, gpu.id if gpu else ""),
        left_code=DRAINED_CODE,
        stop_s=WORKER_STOP_S + (drain_s if pool is Pool.RELAY else 0),
        keep_fds=(*keep_fds, gpu.lock_fd) if gpu else keep_fds,
    )
