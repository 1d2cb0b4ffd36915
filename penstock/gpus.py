"""One worker process per GPU: whoever starts one takes a GPU that no other on this machine has taken."""

import fcntl
import os
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from core.settings import Settings

AUTO = "auto"
FOLDER = "gpus"
PROBE_S = 10.0
LIST = ("nvidia-smi", "--query-gpu=uuid", "--format=csv,noheader")


class TakenGpu(NamedTuple):
    """A GPU that is ours until ``lock_fd`` is closed everywhere."""

    id: str
    lock_fd: int


def for_worker(settings: Settings) -> TakenGpu | None:
    """A free GPU for one worker; None where there is none, or where the operator has named the device."""
    return take(settings.data_dir / FOLDER, find_gpus()) if settings.device == AUTO else None


def for_workers(settings: Settings) -> list[TakenGpu]:
    """All that are free, for a worker each."""
    gpus = find_gpus() if settings.device == AUTO else []
    return [taken for taken in (take(settings.data_dir / FOLDER, [gpu]) for gpu in gpus) if taken]


def find_gpus() -> list[str]:
    """The ids of this machine's GPUs, as far as they are visible here; none where NVIDIA's driver is not there."""
    if not shutil.which(LIST[0]):
        return []
    with suppress(OSError, subprocess.SubprocessError):
        return subprocess.run(LIST, capture_output=True, text=True, timeout=PROBE_S, check=True).stdout.split()
    return []


def take(folder: Path, gpus: list[str]) -> TakenGpu | None:
    """The first GPU that is free; None where all are taken.

    ``folder`` is shared by those who must not take the same one: the data folder, in containers a volume.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for gpu in gpus:
        descriptor = os.open(folder / f"{gpu}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
        else:
            return TakenGpu(gpu, descriptor)
    return None
