"""Keeps one program running: starts it again when it dies, with back-off, and stops it with a deadline. It sleeps until the child ends."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import msgspec

from core.errors import PenstockError
from penstock.backoff import Backoff

READ_BYTES = 65_536
CANNOT_USE = 2
PARENT_DEATH = str(Path(__file__).with_name("parent_death.py"))

Say = Callable[[str], None]


class Listener(Protocol):
    """Gets what a program prints."""

    def begin(self) -> None:
        """The program is started, for the first time or again."""

    def hear(self, chunk: bytes) -> None:
        """More of it."""

    @property
    def last(self) -> str:
        """Its last words since its start."""


class Program(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept running. ``command[0]`` is a path. ``stop_s``: from SIGTERM to SIGKILL. ``keep_fds`` are open in the program too.

    ``left_code``: the exit code that says that it was told to go for good.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    stop_s: float = 5.0
    keep_fds: tuple[int, ...] = ()
    left_code: int | None = None


class CannotStart(PenstockError):
    """The program's first start ended with exit code 2: as it is configured now it will never run. It has said why."""

    code = "cannot_start"


class Supervisor:
    """One program. ``say`` is told of every death; ``listener`` gets what the program prints (else it prints where we do).

    ``failing``: how it dies, while it dies again and again; else empty. ``say`` is called whenever that changes.
    """

    def __init__(self, program: Program, say: Say, listener: Listener | None = None, backoff: Backoff | None = None) -> None:
        self.program = program
        self.pid: int | None = None
        self.failing = ""
        self._backoff = backoff or Backoff()
        self._say = say
        self._listener = listener
        self._stopping = asyncio.Event()
        self._gone = asyncio.Event()
        self._gone.set()

    async def run(self) -> None:
        """Start, and start again, until ``stop`` or until it has left. Raises CannotStart."""
        first = True
        while not self._stopping.is_set():
            lived_s, code = await self._live()
            if self._stopping.is_set():
                return
            if first and code == CANNOT_USE:
                raise CannotStart(self._last() or f"{self.program.name} cannot start.")
            first = False
            if code == self.program.left_code:
                self._say("has left, as it was told, and is not started again")
                return
            pause = self._backoff.pause(lived_s)
            why = f": {self._last()}" if code > 0 and self._last() else ""
            self._say(f"died ({ending(code)}), starting again {f'in {pause:g} s' if pause else 'now'}{why}")
            self._judge(f"{ending(code)}{why}")
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause)

    async def stop(self) -> None:
        """SIGTERM, and SIGKILL when the program's time is over. Returns when it is gone."""
        self._stopping.set()
        if self.pid is not None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGTERM)
        try:
            await asyncio.wait_for(self._gone.wait(), self.program.stop_s)
        except TimeoutError:
            self._say(f"did not stop within {self.program.stop_s:g} s, killed")
            self.kill()
            await self._gone.wait()

    def kill(self) -> None:
        """SIGKILL to the program and whatever it has started, now."""
        self._stopping.set()
        if self.pid is not None:
            _kill_group(self.pid)

    def _judge(self, death: str) -> None:
        """Whether it dies again and again; the first time this is said in so many words."""
        known, self.failing = self.failing, death if self._backoff.looping else ""
        if self.failing and not known:
            every, settled = f"{self._backoff.looping_pause_s:g} s", f"{self._backoff.settled_s:g} s"
            self._say(f"dies again and again: it is started only every {every} now, until it has run for {settled}")

    def _recover(self) -> None:
        self.failing = ""
        self._say(f"has run for {self._backoff.settled_s:g} s: it no longer counts as failing")

    def _last(self) -> str:
        return self._listener.last if self._listener else ""

    async def _live(self) -> tuple[float, int]:
        """One life: seconds, exit code (negative: the signal that ended it)."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        self._gone.clear()
        output = _Output(self._listener) if self._listener else None
        if self._listener:
            self._listener.begin()
        recovery = loop.call_later(self._backoff.settled_s, self._recover) if self.failing else None
        try:
            process = await self._spawn(output.write_fd if output else None)
            self.pid = process.pid
            if output:
                output.listen()
            if self._stopping.is_set():
                process.terminate()
            code = await process.wait()
            _kill_group(process.pid)  # what a dead program leaves behind
        finally:
            self.pid = None
            if recovery:
                recovery.cancel()
            if output:
                output.close()
            self._gone.set()
        return loop.time() - began, code

    async def _spawn(self, output: int | None) -> asyncio.subprocess.Process:
        tether = (sys.executable, "-I", "-S", PARENT_DEATH, str(os.getpid()))
        return await asyncio.create_subprocess_exec(
            *tether,
            *self.program.command,
            env=self.program.environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=self.program.keep_fds,
            process_group=0,  # Ctrl-C reaches the program through us only
        )


class _Output:
    """A pipe from a program. It is not asyncio's: that one waits for the program's own children too, which may hold it open for ever."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._read_fd, self.write_fd = os.pipe()
        os.set_blocking(self._read_fd, False)

    def listen(self) -> None:
        """Once the program has the other end."""
        self._close_write()
        asyncio.get_running_loop().add_reader(self._read_fd, self._read)

    def close(self) -> None:
        """What is left in the pipe is still heard."""
        self._close_write()
        asyncio.get_running_loop().remove_reader(self._read_fd)
        while self._read():
            pass
        os.close(self._read_fd)

    def _read(self) -> bool:
        try:
            chunk = os.read(self._read_fd, READ_BYTES)
        except BlockingIOError:
            return False
        if chunk:
            self._listener.hear(chunk)
        else:
            asyncio.get_running_loop().remove_reader(self._read_fd)
        return bool(chunk)

    def _close_write(self) -> None:
        if self.write_fd >= 0:
            os.close(self.write_fd)
            self.write_fd = -1


def ending(code: int) -> str:
    """How a program ended, in words."""
    return f"exit code {code}" if code >= 0 else f"killed by {signal.Signals(-code).name}"


def _kill_group(pid: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
