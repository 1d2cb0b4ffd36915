"""``penstock ingest``: folders into a knowledge base, once or for as long as they change."""

import asyncio
import os
import re
import signal
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
from rich.console import Console

from core.errors import SettingsError
from core.settings import Settings
from penstock import local_files
from penstock.data_dir import find_running
from penstock.local_files import Choice, LocalFiles
from penstock.server import Base, Server
from penstock.sync import Sync
from penstock.sync_progress import Progress, duration, shown

FAILED, STOPPED = 1, 130
WATCH_S = 2.0

_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

Stamps = dict[str, tuple[int, tuple[int, int]]]


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for. ``server``: none: the ``penstock up`` that runs on the data folder. ``report``: where it is written as JSON."""

    paths: tuple[Path, ...]
    knowledge: str
    choice: Choice
    server: str = ""
    api_key: str = ""
    watch: bool = False
    prune: bool = False
    report: Path | None = None


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """A file that is not in the base as it is here, and why."""

    path: str
    reason: str


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a run: counts of files. ``chunks`` and ``pages``: of those that are ``ready`` by it; ``stopped``: before its end."""

    server: str
    knowledge_id: str
    knowledge: str
    seconds: float
    files: int
    unchanged: int
    ready: int
    failed: int
    pruned: int
    chunks: int
    pages: int
    stopped: bool
    failures: list[Failure]

    def text(self) -> str:
        """For people: a line of counts, and one for each failure."""
        counts = [f"{self.ready} files are ready ({self.pages} pages, {self.chunks} chunks)", f"{self.unchanged} unchanged"]
        counts += [f"{self.pruned} taken out"] if self.pruned else []
        counts += [f"{self.failed} failed"] if self.failed else []
        lines = [f"{self.knowledge}: {', '.join(counts)}, in {duration(self.seconds)}."]
        lines += [f"failed: {failure.path}: {failure.reason}" for failure in self.failures]
        if self.stopped:
            lines.append("Stopped. What is ready stays; run the same command again to go on.")
        return "".join(f"{line}\n" for line in lines)


def ingest(settings: Settings, wanted: Wanted) -> int:
    """The exit code: 1 where a file failed, 130 where it was stopped. Raises PenstockError for a call that cannot be followed."""
    local_files.check(wanted.paths)
    url = wanted.server or _running(settings)
    if not wanted.api_key:
        message = "No API key is given. Make one (POST /api/users/api_key), and set PENSTOCK_API_KEY or --api-key."
        raise SettingsError(message)
    if wanted.report:
        _check_report(wanted.report)
    return asyncio.run(_Run(wanted, url).go())


class _Run:
    """``progress``: of the sync that goes on or was the last."""

    def __init__(self, wanted: Wanted, url: str) -> None:
        self._wanted = wanted
        self._url = url
        self._console = Console(file=sys.stderr)
        self._progress = Progress()
        self._hashes: dict[tuple[str, tuple[int, int]], str] = {}
        self._sync: Sync | None = None

    async def go(self) -> int:
        """Until all is done, or somebody presses Ctrl-C."""
        server = Server(self._url, self._wanted.api_key, self._wait)
        try:
            with_base = asyncio.ensure_future(self._go(server))
            async with _stopping(with_base):
                return await with_base
        except asyncio.CancelledError:
            return STOPPED
        finally:
            await server.close()

    async def _go(self, server: Server) -> int:
        base = await _find_base(server, self._wanted.knowledge)
        while True:
            files = await asyncio.to_thread(local_files.find, self._wanted.paths, self._wanted.choice)
            _check_something(files)
            code = await self._once(server, base, files)
            if not self._wanted.watch:
                return code
            self._console.print("Waiting for changes. Ctrl-C ends it.", highlight=False)
            await self._changed(files)

    async def _once(self, server: Server, base: Base, files: LocalFiles) -> int:
        self._progress, began = Progress(), time.monotonic()
        self._sync = Sync(server, base, self._progress, self._hashes)
        stopped = True
        try:
            async with shown(self._progress, self._console):
                await self._sync.run(files, prune=self._wanted.prune)
            stopped = False
        except asyncio.CancelledError:
            await self._sync.stop()
            raise
        finally:
            await asyncio.to_thread(self._tell, base, time.monotonic() - began, stopped=stopped)
        return FAILED if self._progress.failures else 0

    async def _changed(self, files: LocalFiles) -> None:
        while True:
            await asyncio.sleep(WATCH_S)
            now = await asyncio.to_thread(local_files.find, self._wanted.paths, self._wanted.choice)
            if _stamps(now) != _stamps(files):
                return

    def _wait(self, why: str) -> None:
        self._progress.waiting = why

    def _tell(self, base: Base, seconds: float, *, stopped: bool) -> None:
        progress = self._progress
        report = Report(
            server=self._url,
            knowledge_id=base.id,
            knowledge=base.name,
            seconds=round(seconds, 3),
            files=progress.total,
            unchanged=progress.unchanged,
            ready=progress.ready,
            failed=len(progress.failures),
            pruned=progress.pruned,
            chunks=progress.chunks,
            pages=progress.pages,
            stopped=stopped,
            failures=[Failure(path=path, reason=why) for path, why in sorted(progress.failures.items())],
        )
        sys.stdout.write(report.text())
        sys.stdout.flush()
        if self._wanted.report:
            self._wanted.report.write_bytes(msgspec.json.format(msgspec.json.encode(report)) + b"\n")


@asynccontextmanager
async def _stopping(task: "asyncio.Future[int]") -> AsyncGenerator[None, None]:
    """A signal that ends programs ends the task, cleanly; a second one is as good as the first."""
    loop = asyncio.get_running_loop()
    numbers = (signal.SIGINT, signal.SIGTERM)
    for number in numbers:
        loop.add_signal_handler(number, task.cancel)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


async def _find_base(server: Server, name: str) -> Base:
    """The one of a name, or of an id; a new one where there is none. Raises SettingsError where there are several."""
    bases = await server.bases()
    found = [base for base in bases if base.id == name] or [base for base in bases if base.name == name]
    if len(found) > 1:
        ids = ", ".join(base.id for base in found)
        message = f"There are {len(found)} knowledge bases that are called {name!r}. Name one by its id: {ids}."
        raise SettingsError(message)
    if not found and _ID.fullmatch(name):
        message = (
            f"There is no knowledge base with the id {name} whose files you may change. Ask its owner for write access, or name another."
        )
        raise SettingsError(message)
    return found[0] if found else await server.create_base(name)


def _running(settings: Settings) -> str:
    running = find_running(settings.data_dir)
    if running is None:
        message = f"No `penstock up` runs on the data folder {settings.data_dir.absolute()}. Start it, or name a --server."
        raise SettingsError(message)
    return running.url


def _check_report(path: Path) -> None:
    if path.is_dir() or not os.access(path.absolute().parent, os.W_OK):
        message = f"--report: {path} cannot be written. Name a file in a folder that is there."
        raise SettingsError(message)


def _check_something(files: LocalFiles) -> None:
    """A folder that has become empty is more often not mounted than meant."""
    if not files.found and not files.unreadable:
        message = "There is no file to ingest: the folders are empty, or --include, --exclude and hidden names leave nothing of them."
        raise SettingsError(message)


def _stamps(files: LocalFiles) -> Stamps:
    return {path: (file.size, file.stamp) for path, file in files.found.items()}
