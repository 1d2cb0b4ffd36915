"""The zygote: it has the usual imports loaded, and forks one child for each call that it is sent.

Over its socket it gets messages, a byte for their kind and a call's number: a call, with its limits and the descriptors of its input,
output, errors and answer; or that a call is to be ended. It says when it is ready, and how each call ended. It runs nothing of a user.
"""

import gc
import json
import os
import selectors
import signal
import socket
import struct
import sys
from contextlib import suppress
from importlib import import_module

from pipelines.sandbox.inside.confinement import CALL_DESCRIPTORS, Landlock, Limits, Namespaces
from pipelines.sandbox.inside.runner import run

HEAD = struct.Struct("!cQ")  # what kind of message, and which call
CALL, KILL, READY, ENDED = b"c", b"k", b"r", b"e"
ENDING = struct.Struct("!id")  # a wait status, and seconds of CPU time
BEGUN, NOT_SET_UP = b"b", b"s"
MAX_MESSAGE = 4_096

PRELOADED = ("asyncio", "datetime", "json", "math", "re", "zoneinfo", "numpy", "numpy.random", "pydantic", "requests")
_NICENESS = 10
_FIRST_TO_GO = b"1000"  # when the kernel is out of memory


def main(isolation: str, control: int, readable: list[str]) -> None:
    """Serve calls until the other end of the socket is closed."""
    confinement = Namespaces() if isolation == "bubblewrap" else Landlock(readable)
    os.nice(_NICENESS)
    with suppress(OSError):
        descriptor = os.open("/proc/self/oom_score_adj", os.O_WRONLY)
        os.write(descriptor, _FIRST_TO_GO)
        os.close(descriptor)
    for name in PRELOADED:
        with suppress(ImportError):  # a worker may have less than all
            import_module(name)
    if len(os.listdir("/proc/self/task")) > 1:  # noqa: PTH208 - pathlib is not needed here
        sys.exit("An import has started a thread: forks would not be safe.")
    gc.collect()
    gc.freeze()
    _Zygote(confinement, socket.socket(fileno=control)).serve()


class _Zygote:
    def __init__(self, confinement: Namespaces | Landlock, control: socket.socket) -> None:
        self._confinement = confinement
        self._control = control
        self._children: dict[int, int] = {}  # call numbers by process id

    def serve(self) -> None:
        woken, wake = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        events = selectors.DefaultSelector()
        events.register(self._control, selectors.EVENT_READ)
        events.register(woken, selectors.EVENT_READ)
        self._control.send(HEAD.pack(READY, 0))
        while True:
            for key, _ in events.select():
                if key.fileobj == woken:
                    os.read(woken, MAX_MESSAGE)
                    self._reap()
                elif not self._receive():
                    return

    def _receive(self) -> bool:
        """One message; whether there was one."""
        message, descriptors, _, _ = socket.recv_fds(self._control, MAX_MESSAGE, CALL_DESCRIPTORS)
        if not message:
            return False
        kind, number = HEAD.unpack_from(message)
        if kind == KILL:
            for process in [process for process, call in self._children.items() if call == number]:
                os.kill(process, signal.SIGKILL)
            return True
        try:
            child = self._confinement.fork()
        except OSError as error:
            os.write(descriptors[-1], NOT_SET_UP + str(error).encode())
            self._say_ended(number, 0, 0.0)
        else:
            if not child:
                self._become_child(json.loads(message[HEAD.size :]), descriptors)
            self._children[child] = number
        for descriptor in descriptors:
            os.close(descriptor)
        return True

    def _reap(self) -> None:
        while self._children:
            child, status, usage = os.wait4(-1, os.WNOHANG)
            if not child:
                return
            self._say_ended(self._children.pop(child), status, usage.ru_utime + usage.ru_stime)

    def _say_ended(self, number: int, status: int, cpu_seconds: float) -> None:
        with suppress(ConnectionError):
            self._control.send(HEAD.pack(ENDED, number) + ENDING.pack(status, cpu_seconds))

    def _become_child(self, limits: Limits, descriptors: list[int]) -> None:
        """In the child: confine it, then run the code, and end."""
        answer = _place(descriptors)
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            with open(0, "rb", closefd=False) as file:
                request = json.load(file)
            _read_nothing()
            if random := sys.modules.get("numpy.random"):
                random.seed()  # else all children would draw the same
            self._confinement.confine(limits)
        except BaseException as error:  # noqa: BLE001 - it must not go on, whatever it is
            os.write(answer, NOT_SET_UP + f"{type(error).__name__}: {error}".encode())
            os._exit(1)
        os.write(answer, BEGUN)
        kind, content = run(request["code"], request["function"], request["arguments"], request["given"])
        for stream in (sys.stdout, sys.stderr):
            with suppress(Exception):
                stream.flush()
        _write_whole(answer, kind + content)
        os._exit(0)


def _place(descriptors: list[int]) -> int:
    """Input, output, errors and answer in the first places; the others are closed when confining needs no more of them."""
    for place, descriptor in enumerate(descriptors):
        os.dup2(descriptor, place, inheritable=False)  # a later descriptor is never below its own place
    return CALL_DESCRIPTORS - 1


def _read_nothing() -> None:
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)


def _write_whole(descriptor: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]
