"""Bytes in files of the data folder, two folders deep. A file has its name when all of it is on the disk, and not before."""

import asyncio
import errno
import hashlib
import os
import time
from collections.abc import AsyncGenerator, AsyncIterable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from core.errors import PenstockError, SettingsError, Unavailable
from core.storage.blobs.port import ABANDONED_S, PIECE_BYTES, Written, check_id, missing

T = TypeVar("T")

FOLDER = "files"
DRAFTS = "incoming"
OWNER_ONLY = 0o600
OWNER_ONLY_FOLDER = 0o700
THREADS = 4  # of their own: a slow disk must not hold up what else the process does beside its loop

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class FolderBlobs:
    """The port on a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._drafts = folder / DRAFTS
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="blobs")

    async def setup(self) -> None:
        """Make the folder, and throw away what processes that were killed had begun. Raises SettingsError."""
        await self._run(self._set_up)

    async def write(self, blob_id: str, pieces: AsyncIterable[bytes]) -> Written:
        """Into a draft, which is moved to its place at the end."""
        draft = _Draft(self._drafts / check_id(blob_id))
        try:
            await self._run(draft.open)
            async for piece in pieces:
                await self._run(draft.write, piece)
            return await self._run(draft.keep, self._path(blob_id))
        except BaseException:
            await self._run(draft.discard)
            raise

    async def read(self, blob_id: str, start: int = 0, length: int | None = None) -> AsyncGenerator[bytes, None]:
        """A piece at a time. What is deleted meanwhile can be read to its end."""
        file = _Reader(self._path(blob_id))
        try:
            await self._run(file.open)
            left = length
            while left is None or left > 0:
                piece = await self._run(file.read, PIECE_BYTES if left is None else min(PIECE_BYTES, left), start)
                if not piece:
                    return
                start += len(piece)
                left = None if left is None else left - len(piece)
                yield piece
        finally:
            await self._run(file.close)

    async def delete(self, blob_id: str) -> bool:
        """Take away its file."""
        return await self._run(_remove, self._path(blob_id))

    async def exists(self, blob_id: str) -> bool:
        """Whether its file is there."""
        return await self._run(self._path(blob_id).is_file)

    async def close(self) -> None:
        """End the threads."""
        await asyncio.to_thread(self._threads.shutdown)

    def _path(self, blob_id: str) -> Path:
        """By the last digits of the id, which are chance: the first ones are the time."""
        return self._folder / check_id(blob_id)[-2:] / blob_id[-4:-2] / blob_id

    def _set_up(self) -> None:
        try:
            self._drafts.mkdir(OWNER_ONLY_FOLDER, parents=True, exist_ok=True)
            for path in self._drafts.iterdir():
                with suppress(FileNotFoundError):  # another process has done it
                    if time.time() - path.stat().st_mtime > ABANDONED_S:
                        path.unlink()
        except OSError as error:
            message = f"The folder {self._folder} cannot be used ({error.strerror}). Set PENSTOCK_DATA_DIR to a folder you may write to."
            raise SettingsError(message) from None

    async def _run(self, work: Callable[..., T], *given: object) -> T:
        """On a thread. One who is cancelled waits for it, so that nothing is closed while it is being written."""
        future = asyncio.get_running_loop().run_in_executor(self._threads, work, *given)
        cancelled: asyncio.CancelledError | None = None
        while not future.done():
            try:
                await asyncio.wait((future,))
            except asyncio.CancelledError as error:
                cancelled = error
        failure = future.exception()
        if cancelled:
            raise cancelled
        if failure:
            raise _explanation(failure) if isinstance(failure, OSError) else failure
        return future.result()


class _Draft:
    """A file that is being written, on threads, one call after the other."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = -1
        self._digest = hashlib.sha256()
        self._size = 0

    def open(self) -> None:
        self._descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ONLY)

    def write(self, piece: bytes) -> None:
        left = memoryview(piece)
        while left:
            left = left[os.write(self._descriptor, left) :]
        self._digest.update(piece)
        self._size += len(piece)

    def keep(self, path: Path) -> Written:
        """All of it is on the disk before its name is, and its name before anybody is told."""
        os.fsync(self._descriptor)
        new_folders = not path.parent.is_dir()
        path.parent.mkdir(OWNER_ONLY_FOLDER, parents=True, exist_ok=True)
        self._path.rename(path)
        for folder in path.parents[: 3 if new_folders else 1]:
            _sync(folder)
        os.close(self._descriptor)
        self._descriptor = -1
        return Written(self._size, self._digest.hexdigest())

    def discard(self) -> None:
        """Nothing stays of what was not kept."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
            self._path.unlink(missing_ok=True)


class _Reader:
    """A file that is being read, on threads, one call after the other."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = -1

    def open(self) -> None:
        try:
            self._descriptor = os.open(self._path, os.O_RDONLY)
        except FileNotFoundError:
            raise missing() from None

    def read(self, length: int, start: int) -> bytes:
        return os.pread(self._descriptor, length, start)

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _remove(path: Path) -> bool:
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    return True


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _explanation(error: OSError) -> PenstockError:
    if error.errno in _FULL:
        return Unavailable("The disk of the data folder is full. Free some space, and send the file again.")
    return Unavailable(f"The files in the data folder cannot be read or written ({error.strerror}). Check its disk, and who owns it.")
