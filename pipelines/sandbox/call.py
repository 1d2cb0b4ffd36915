"""One call from outside: its input, what it writes while it is read, and what is made of how it ended."""

import asyncio
import os
import signal
import time
from collections.abc import Callable

import msgspec

from core.errors import BadRequest, Unavailable
from core.json.decoding import decode
from pipelines.sandbox.inside.runner import NO_MEMORY, NOT_FOUND, RAISED, RESULT, UNSERIALISABLE, WRONG_SETTINGS
from pipelines.sandbox.inside.zygote import BEGUN, NOT_SET_UP
from pipelines.sandbox.outcome import MIB, Ending, Failure, Isolation, Limits, Outcome, Reason

READ_BYTES = 65_536
ANSWER_BYTES = 65_536  # beyond a result's: for what tells of a failure
LEAST_BYTES = 2  # that it has begun, and the kind of answer
ALMOST = 0.5  # of the CPU's limit: it is enforced by sampled ticks, and what was used is counted exactly; under load they differ

LOST = "The sandbox's own process ended in the middle of the call. Call again."


class Call:
    """``begun``: the user's code runs, or never will; ``settled``: it has ended, or has to be ended."""

    def __init__(self, request: bytes, limits: Limits) -> None:
        self.begun, self.settled, self.finished = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.lost = False
        self.broke: Reason | None = None
        self._limits = limits
        self._started = self._ended = 0.0
        self._ending: Ending | None = None
        self._input = _memory_file(request)
        self._pipes = [_Pipe(most, self._look) for most in (limits.output_bytes, limits.output_bytes, limits.output_bytes + ANSWER_BYTES)]

    @property
    def descriptors(self) -> list[int]:
        """What the child gets: input, output, errors, answer."""
        return [self._input, *(pipe.write_end for pipe in self._pipes)]

    def listen(self) -> None:
        """Once the zygote has the descriptors."""
        for pipe in self._pipes:
            pipe.listen()

    def end(self, status: int, cpu_seconds: float) -> None:
        """Its process has ended."""
        self._ending = Ending(status=status, cpu_seconds=cpu_seconds)
        self._look()

    def lose(self) -> None:
        """The zygote has ended, and the process with it."""
        self.lost = True
        for event in (self.begun, self.settled, self.finished):
            event.set()

    def close(self) -> None:
        """Read no more."""
        for pipe in self._pipes:
            pipe.close()
        os.close(self._input)

    def outcome(self, isolation: Isolation) -> Outcome:
        """What became of it."""
        answer = bytes(self._pipes[2].content)
        if self.lost or self._ending is None:
            raise Unavailable(LOST)
        if not answer.startswith(BEGUN) and self.broke is None:
            why = answer.removeprefix(NOT_SET_UP).decode(errors="replace") or "its process ended at once"
            message = f"The sandbox could not confine a process ({why}). Nothing was run."
            raise Unavailable(message)
        result, failure = self._judge(answer[1:2], answer[LEAST_BYTES:])
        stdout, stderr = (pipe.content.decode(errors="replace") for pipe in self._pipes[:2])
        seconds = max(self._ended - self._started, 0.0)
        return Outcome(isolation=isolation, seconds=seconds, stdout=stdout, stderr=stderr, result=result, failure=failure)

    def _look(self) -> None:
        """Something was read or has ended."""
        if self._pipes[2].content and not self.begun.is_set():
            self._started = time.monotonic()
            self.begun.set()
        if any(pipe.overflowed for pipe in self._pipes):
            self.broke = self.broke or Reason.OUTPUT
            self.settled.set()
        if self._ending is not None and all(pipe.ended for pipe in self._pipes) and not self.finished.is_set():
            self._ended = time.monotonic()
            for event in (self.begun, self.settled, self.finished):
                event.set()

    def _judge(self, kind: bytes, content: bytes) -> tuple[msgspec.Raw | None, Failure | None]:
        if self.broke is not None:
            return None, Failure(reason=self.broke, message=self._limit(self.broke))
        if kind == RESULT:
            return self._result(content)
        return None, self._explain(kind, content)

    def _explain(self, kind: bytes, content: bytes) -> Failure:
        text = content.decode(errors="replace")
        if kind == NO_MEMORY:
            return Failure(reason=Reason.MEMORY, message=self._limit(Reason.MEMORY))
        if kind == RAISED:
            return _raised(content)
        if kind == UNSERIALISABLE:
            return Failure(reason=Reason.UNSERIALISABLE, message=f"not serialisable: {text}")
        if kind == NOT_FOUND:
            return Failure(reason=Reason.NOT_FOUND, message=f"There is no function {text} in the code.")
        if kind == WRONG_SETTINGS:
            return Failure(reason=Reason.SETTINGS, message=f"Its settings are not what its class allows ({text}). Set them anew.")
        return self._ended_without_answer()

    def _result(self, content: bytes) -> tuple[msgspec.Raw | None, Failure | None]:
        """It is looked at here: the process that wrote it is the user's."""
        if len(content) > self._limits.output_bytes:
            return None, Failure(reason=Reason.OUTPUT, message=self._limit(Reason.OUTPUT))
        try:
            decode(content, object)
        except BadRequest:
            return None, Failure(reason=Reason.CRASHED, message="Its answer is not JSON.")
        return msgspec.Raw(content), None

    def _ended_without_answer(self) -> Failure:
        assert self._ending is not None  # noqa: S101 - outcome() has looked
        code = os.waitstatus_to_exitcode(self._ending.status)
        if code >= 0:
            return Failure(reason=Reason.CRASHED, message=f"It ended its own process, with exit code {code}.")
        number = -code
        if number == signal.SIGSYS:
            message = "It made a system call that nothing but an attack makes, and was ended for it."
            return Failure(reason=Reason.DENIED, message=message, signal=number)
        if number == signal.SIGKILL:
            reason = Reason.CPU if self._ending.cpu_seconds >= self._limits.cpu_seconds * ALMOST else Reason.MEMORY
            return Failure(reason=reason, message=self._limit(reason), signal=number)
        name = next((known.name for known in signal.Signals if known == number), f"signal {number}")
        return Failure(reason=Reason.CRASHED, message=f"Its process crashed ({name}).", signal=number)

    def _limit(self, reason: Reason) -> str:
        return {
            Reason.TIME: f"It took longer than {self._limits.seconds:g} seconds.",
            Reason.CPU: f"It used more than {self._limits.cpu_seconds} seconds of CPU time.",
            Reason.MEMORY: f"It needed more than {self._limits.memory_bytes // MIB} MiB of memory.",
            Reason.OUTPUT: f"It gave or printed more than {self._limits.output_bytes} bytes.",
        }[reason]


def _memory_file(content: bytes) -> int:
    """A descriptor to read it from, however long it is: a message may be short only, and a pipe would have to be written to."""
    descriptor = os.memfd_create("call", os.MFD_CLOEXEC)
    os.set_blocking(descriptor, False)
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


class _Raised(msgspec.Struct):
    type: str
    message: str
    traceback: str


def _raised(content: bytes) -> Failure:
    try:
        raised = decode(content, _Raised)
    except BadRequest:
        return Failure(reason=Reason.CRASHED, message="What it raised cannot be understood.")
    text = f"{raised.type}: {raised.message}" if raised.message else raised.type
    return Failure(reason=Reason.RAISED, message=text, exception=raised.type, traceback=raised.traceback)


class _Pipe:
    """What a child writes, as far as it may."""

    def __init__(self, most: int, changed: Callable[[], None]) -> None:
        self._read_end, self.write_end = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self._read_end, False)
        self._most = most
        self._changed = changed
        self.content = bytearray()
        self.ended = self.overflowed = False

    def listen(self) -> None:
        os.close(self.write_end)
        self.write_end = -1
        asyncio.get_running_loop().add_reader(self._read_end, self._read)

    def close(self) -> None:
        if self.write_end >= 0:
            os.close(self.write_end)
        elif not self.ended:
            asyncio.get_running_loop().remove_reader(self._read_end)
        os.close(self._read_end)

    def _read(self) -> None:
        try:
            chunk = os.read(self._read_end, READ_BYTES)
        except BlockingIOError:
            return
        if not chunk:
            self.ended = True
            asyncio.get_running_loop().remove_reader(self._read_end)
        room = self._most - len(self.content)
        self.content += chunk[:room]
        self.overflowed = self.overflowed or len(chunk) > room
        self._changed()
