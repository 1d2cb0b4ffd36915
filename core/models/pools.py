"""Worker pools and the workers in them."""

from enum import StrEnum

import msgspec

from core.models.numerics import Numerics

DRAINED_CODE = 4  # the exit code of a worker process that has left because it was to take nothing more, for good


class Pool(StrEnum):
    """The pools that a worker process can be started for."""

    GPU = "gpu"
    RELAY = "relay"
    CPU = "cpu"


class WorkerState(StrEnum):
    """What a worker does: it takes jobs; or it takes no more, and ends or hands back what it has."""

    READY = "ready"
    DRAINING = "draining"


class Worker(msgspec.Struct, frozen=True, kw_only=True):
    """A live worker process, as it last reported itself. ``memory_bytes``: resident; ``started_at``: Unix seconds.

    ``queues``: those that it takes jobs from. ``numerics``: of each local model that is loaded, and of the embedder.
    """

    id: str
    pool: Pool
    host: str
    pid: int
    device: str
    memory_bytes: int
    models: tuple[str, ...]
    running: int
    started_at: int
    numerics: dict[str, Numerics] = {}
    queues: tuple[str, ...] = ()
    state: WorkerState = WorkerState.READY
