"""The program of a child that does heavy work: ``python -I child.py PARENT_PID MEMORY_BYTES IMPORT_PATH...``, a socket for its input.

Over the socket it is told a function and a payload, says that it begins, and gives what became of it; then the next. Whatever is printed
goes to its standard error. This file stands alone, without an import of ours: the functions decide what else is loaded.
"""

import ctypes
import importlib
import os
import resource
import signal
import struct
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import BinaryIO

CALL = struct.Struct("!HQ")  # how long the function's name is and the payload, which follow
ANSWER = struct.Struct("!cQ")  # what kind of answer, and how many bytes follow
BEGUN, RESULT, RAISED, NO_MEMORY = b"b", b"r", b"e", b"m"
MAX_RAISED = 500

_PR_SET_PDEATHSIG = 1
_FIRST_TO_GO = "1000"  # when the kernel is out of memory
_READ_BYTES = 65_536
_NICENESS = 10  # signs of life and running answers go first


def main() -> None:
    """Serve calls until the parent closes the socket."""
    parent, memory_bytes, *path = sys.argv[1:]
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != int(parent):
        sys.exit()  # it died before we asked
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))  # uvloop hands on its own, and whatever is inheritable
    with suppress(OSError), open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:  # noqa: PTH123 - a kernel file
        file.write(_FIRST_TO_GO)
    os.nice(_NICENESS)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (int(memory_bytes), int(memory_bytes)))
    sys.path[:] = path
    calls, answers = _take_socket()
    while head := calls.read(CALL.size):
        name_length, payload_length = CALL.unpack(head)
        kind, content = _call(name_length, payload_length, calls, answers)
        _answer(answers, kind, content)


def _take_socket() -> tuple[BinaryIO, BinaryIO]:
    """The socket for us alone; a function reads nothing from standard input, and what it prints cannot be taken for an answer."""
    calls, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(0), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return calls, answers


def _call(name_length: int, payload_length: int, calls: BinaryIO, answers: BinaryIO) -> tuple[bytes, bytes]:
    """What became of one call. Importing comes before its beginning: a function's time is its own."""
    try:
        name, payload = calls.read(name_length).decode(), _read(calls, payload_length)
        function = _find(name)
        _answer(answers, BEGUN)
        result = function(payload)
        if not isinstance(result, bytes):
            return RAISED, f"{name} gave {type(result).__name__}, not bytes".encode()
    except MemoryError:
        return NO_MEMORY, b""
    except BaseException as error:  # noqa: BLE001 - whatever it raises is its caller's; SystemExit, too
        traceback.print_exc()
        return RAISED, f"{type(error).__name__}: {error}"[:MAX_RAISED].encode(errors="replace")
    return RESULT, result


def _read(calls: BinaryIO, length: int) -> bytes:
    try:
        return calls.read(length)
    except MemoryError:
        for left in range(length, 0, -_READ_BYTES):
            calls.read(min(left, _READ_BYTES))  # the parent listens when it has said all
        raise


def _find(name: str) -> Callable[[bytes], object]:
    module, _, function = name.partition(":")
    found: Callable[[bytes], object] = getattr(importlib.import_module(module), function)
    return found


def _answer(answers: BinaryIO, kind: bytes, content: bytes = b"") -> None:
    answers.write(ANSWER.pack(kind, len(content)))
    answers.write(content)
    answers.flush()


if __name__ == "__main__":
    main()
