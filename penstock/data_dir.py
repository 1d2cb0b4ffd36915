"""The data folder: fit to be written to, and held by one ``penstock up`` at a time, which leaves its address and what fails there."""

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from core.errors import SettingsError

LOCK_FILE = "up.lock"
MAX_WORD_BYTES = 65_536
END = b"\n"
MIN_FREE_BYTES = 200_000_000
MB = 1_000_000
LEAVING_S = 3.0
LOOK_AGAIN_S = 0.05


class Running(msgspec.Struct, frozen=True, kw_only=True):
    """The ``up`` that holds a folder. ``redis_url`` may hold a path only its owner can open.

    ``failing``: of each program that dies again and again, how it died last.
    """

    pid: int
    url: str
    redis_url: str = ""
    failing: dict[str, str] = {}


class DataDir:
    """A data folder that is ours. ``lock_fd``: given to every child, so that the folder is free only when all of them are gone."""

    def __init__(self, path: Path, lock_fd: int) -> None:
        self.path = path
        self.lock_fd = lock_fd

    def tell(self, running: Running) -> None:
        """Leave word for the next ``up`` and for ``penstock status``."""
        os.pwrite(self.lock_fd, msgspec.json.encode(running) + END, 0)  # over what stood there: a reader may come at any time


@contextmanager
def hold(path: Path, url: str, *, min_free_bytes: int = MIN_FREE_BYTES) -> Iterator[DataDir]:
    """Hold the folder while the block runs. Raises SettingsError: it cannot be written to, the disk is full, somebody else holds it."""
    prepare(path, min_free_bytes=min_free_bytes)
    descriptor = os.open(path / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        _lock(path, descriptor)
        folder = DataDir(path, descriptor)
        folder.tell(Running(pid=os.getpid(), url=url))
        yield folder
        os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def prepare(path: Path, *, min_free_bytes: int = MIN_FREE_BYTES) -> None:
    """Make the folder, and write to it. Raises SettingsError."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path) as probe:
            probe.write(bytes(4096))
        free = shutil.disk_usage(path).free
    except OSError as error:
        message = (
            f"The data folder {path} cannot be used ({error.strerror}). Set PENSTOCK_DATA_DIR or --data-dir to a folder you may write to."
        )
        raise SettingsError(message) from None
    if free < min_free_bytes:
        message = (
            f"Only {free // MB} MB are free in the data folder {path}; {min_free_bytes // MB} MB are needed. Make room, or set --data-dir."
        )
        raise SettingsError(message)


def find_running(path: Path) -> Running | None:
    """The ``up`` that holds a folder now; None where nobody does."""
    try:
        descriptor = os.open(path / LOCK_FILE, os.O_RDWR)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _word(descriptor)
    finally:
        os.close(descriptor)
    return None


def _lock(path: Path, descriptor: int) -> None:
    """The children of one that was killed are leaving: they are waited for. One that lives is not."""
    deadline = time.monotonic() + LEAVING_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _word(descriptor)
            if time.monotonic() > deadline or (holder and Path(f"/proc/{holder.pid}").exists()):
                where = f" (process {holder.pid}, {holder.url})" if holder else ""
                message = f"Penstock already runs on the data folder {path}{where}. Stop it first, or give another --data-dir."
                raise SettingsError(message) from None
            time.sleep(LOOK_AGAIN_S)
        else:
            return


def _word(descriptor: int) -> Running | None:
    try:
        return msgspec.json.decode(os.pread(descriptor, MAX_WORD_BYTES, 0).partition(END)[0], type=Running)
    except msgspec.DecodeError:
        return None
