"""One child that does heavy work, from its parent's side: started, called, bounded, ended."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import msgspec

from core.errors import GaveTooMuch, PenstockError, TookTooLong, TookTooMuchMemory, Unavailable, WorkCrashed, WorkRaised
from workers.child import ANSWER, BEGUN, CALL, MAX_RAISED, NO_MEMORY, RAISED, RESULT

PROGRAM = str(Path(__file__).with_name("child.py"))
BEGIN_S = 60.0
DYING_S = 5.0
MAX_SAID_BYTES = 8_192
READ_BYTES = 65_536
MIB = 1 << 20

STOPPING = "This worker is stopping. Try again."
LESS = "Ask for less, or in parts."
NONSENSE = "Its process gave an answer that cannot be understood."


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Of one call. ``memory_bytes``: of address space, of which libraries reserve more than they use; ``calls``: of a child's life."""

    seconds: float
    memory_bytes: int
    output_bytes: int
    calls: int = 100


class NeverBegun(WorkCrashed):
    """The child ended before the function had begun."""


class Killed(TookTooMuchMemory):
    """Somebody else has ended the child with SIGKILL in the middle of a call: mostly the kernel, for want of memory."""


class Child:
    """One process. ``fit``: it can be called; ``ending``: gives how it ended."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        connection: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        output: "_Output",
        limits: Limits,
    ) -> None:
        self.pid = process.pid
        self.output = output
        self.fit = True
        self.ending = asyncio.create_task(self._end(process))
        self._reader, self._writer = connection
        self._limits = limits
        self._calls = 0
        self._killed = False

    async def call(self, function: str, payload: bytes) -> bytes:
        """Have it do one thing. Where more is wrong than that the function raised, it is not fit for another."""
        self.fit, begun = False, False
        self._calls += 1
        limit_s = BEGIN_S
        try:
            async with asyncio.timeout(BEGIN_S):
                await self._say(function.encode(), payload)
                kind, content = await self._hear()
            begun = kind == BEGUN
            if begun:
                limit_s = self._limits.seconds
                async with asyncio.timeout(limit_s):
                    kind, content = await self._hear()
        except TimeoutError:
            message = f"It took longer than {limit_s:g} seconds, which is the limit here. {LESS}"
            raise TookTooLong(message) from None
        except (OSError, asyncio.IncompleteReadError):
            raise await self._explain(begun=begun) from None
        self.fit = kind in {RESULT, RAISED} and self._calls < self._limits.calls
        if kind == RESULT:
            return content
        if kind == RAISED:
            raise WorkRaised(content.decode(errors="replace"))
        if kind == NO_MEMORY:
            message = f"It needed more than {self._limits.memory_bytes // MIB} MiB of memory, which is the limit here. {LESS}"
            raise TookTooMuchMemory(message)
        raise WorkCrashed(NONSENSE)

    def kill(self) -> None:
        """End it and what it has started, now."""
        self.fit, self._killed = False, True
        if not self.ending.done():
            _kill_group(self.pid)
        self._writer.transport.abort()
        self.output.close()

    async def _say(self, name: bytes, payload: bytes) -> None:
        if self._writer.is_closing():
            raise ConnectionResetError
        self._writer.writelines((CALL.pack(len(name), len(payload)), name, payload))
        await self._writer.drain()

    async def _hear(self) -> tuple[bytes, bytes]:
        """A kind of answer and its content. What it says of itself is not trusted: more than is allowed is not read."""
        kind, length = ANSWER.unpack(await self._reader.readexactly(ANSWER.size))
        most = self._limits.output_bytes if kind == RESULT else 4 * MAX_RAISED
        if length > most:
            message = f"Its result is larger than {most} bytes, which is the limit here. {LESS}"
            raise GaveTooMuch(message)
        return kind, await self._reader.readexactly(length)

    async def _explain(self, *, begun: bool) -> PenstockError:
        """Why it says nothing any more."""
        await asyncio.wait((self.ending,), timeout=DYING_S)
        if self._killed:
            return Unavailable(STOPPING)
        if not self.ending.done():
            return WorkCrashed("Its process closed the connection.")
        code = self.ending.result()
        how = f"exit code {code}" if code >= 0 else _name(-code)
        if not begun:
            return NeverBegun(f"Its process ended before it could begin ({how}). The worker's log has what it said.")
        if code == -signal.SIGKILL:
            return Killed("Its process was killed, most likely because the machine has no memory left. Ask for less, or in parts.")
        return WorkCrashed(f"Its process crashed ({how}). Nothing else was harmed; the same again will most likely crash again.")

    async def _end(self, process: asyncio.subprocess.Process) -> int:
        code = await process.wait()
        _kill_group(process.pid)  # what a dead child leaves behind, which may hold the connection open
        return code


async def start(limits: Limits, environment: Mapping[str, str]) -> Child:
    """A child, in a session of its own, so that Ctrl-C reaches it through us only."""
    ours, theirs = socket.socketpair()
    output = _Output()
    connection = await asyncio.open_unix_connection(sock=ours)
    command = (sys.executable, "-I", "-X", "utf8", "-X", "faulthandler", PROGRAM, str(os.getpid()), str(limits.memory_bytes), *sys.path)
    try:
        process = await asyncio.create_subprocess_exec(
            *command, env=environment, stdin=theirs.fileno(), stdout=output.write_fd, stderr=output.write_fd, start_new_session=True
        )
    except BaseException:
        connection[1].transport.abort()
        output.close()
        raise
    finally:
        theirs.close()
    output.listen()
    return Child(process, connection, output, limits)


class _Output:
    """The end of what a child has printed since somebody asked; it may print more than anybody reads, and is not held up by that."""

    def __init__(self) -> None:
        self._read_fd, self.write_fd = os.pipe()
        os.set_blocking(self._read_fd, False)
        self._said = b""

    def listen(self) -> None:
        """Once the child has the other end."""
        self._close_write()
        asyncio.get_running_loop().add_reader(self._read_fd, self._read)

    def take(self) -> str:
        """All that was printed until now, or the last of it."""
        if self._read_fd >= 0:
            for _ in range(MAX_SAID_BYTES):
                if not self._read():
                    break
        said, self._said = self._said, b""
        return said.decode(errors="replace").strip()

    def close(self) -> None:
        """Listen no more."""
        self._close_write()
        if self._read_fd >= 0:
            asyncio.get_running_loop().remove_reader(self._read_fd)
            os.close(self._read_fd)
            self._read_fd = -1

    def _read(self) -> bool:
        try:
            chunk = os.read(self._read_fd, READ_BYTES)
        except BlockingIOError:
            return False
        if not chunk:
            asyncio.get_running_loop().remove_reader(self._read_fd)
        self._said = (self._said + chunk)[-MAX_SAID_BYTES:]
        return bool(chunk)

    def _close_write(self) -> None:
        if self.write_fd >= 0:
            os.close(self.write_fd)
            self.write_fd = -1


def _name(number: int) -> str:
    return next((known.name for known in signal.Signals if known == number), f"signal {number}")


def _kill_group(pid: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
