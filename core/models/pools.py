"""Worker pools and the workers in them."""

from enum import StrEnum

import msgspec

from core.models.numerics import Numerics


class Pool(StrEnum):
    """The pools that a worker process can be started for."""

    GPU = "gpu"
    RELAY = "relay"
    CPU = "cpu"


class Worker(msgspec.Struct, frozen=True, kw_only=True):
    """A live worker process, as it last reported itself. ``memory_bytes``: resident; ``started_at``: Unix seconds.

    ``numerics``: of each local model that is loaded.
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
