"""What tests let children do. Each takes and gives bytes; a path in a payload is where it tells its process's id, or waits for a file."""

import ctypes
import hashlib
import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path


def reverse(payload: bytes) -> bytes:
    return payload[::-1]


def process_id(payload: bytes) -> bytes:
    del payload
    return str(os.getpid()).encode()


def digest(payload: bytes) -> bytes:
    return hashlib.sha256(payload).hexdigest().encode()


def give(payload: bytes) -> bytes:
    """So many bytes."""
    return bytes(int(payload))


def refuse(payload: bytes) -> bytes:
    raise ValueError(payload.decode())


def give_text(payload: bytes) -> str:
    return payload.decode()


def leave(payload: bytes) -> bytes:
    sys.exit(payload.decode())


def spin(payload: bytes) -> bytes:
    """For ever, without a pause; Python, so that nothing but a signal ends it."""
    _tell(payload)
    while True:
        pass


def spin_until_told(payload: bytes) -> bytes:
    """Until a file is there."""
    spun = 0
    while not os.path.exists(payload):  # noqa: PTH110 - as fast as can be
        spun += 1
    return str(spun).encode()


def eat(payload: bytes) -> bytes:
    """Memory, in steps of 16 MiB, until there is no more."""
    del payload
    eaten = []
    while True:
        eaten.append(b"x" * (16 << 20))


def abort(payload: bytes) -> bytes:
    del payload
    print("about to abort", file=sys.stderr)  # noqa: T201 - what native code says before it gives up
    os.abort()


def read_nowhere(payload: bytes) -> bytes:
    """A real segmentation fault."""
    del payload
    ctypes.string_at(1)
    return b""


def kill_itself(payload: bytes) -> bytes:
    """With the signal whose number is given."""
    os.kill(os.getpid(), int(payload))
    return b""


def kill_itself_once(payload: bytes) -> bytes:
    """Unless a file of that path is there."""
    if not (file := Path(payload.decode())).exists():
        file.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return b"done"


def end_at_once(payload: bytes) -> bytes:
    os._exit(int(payload))


def talk_nonsense(payload: bytes) -> bytes:
    """To its parent, over the connection that only its program should use."""
    for number in _open_files():
        if number > 2:
            os.write(number, payload)
    return b""


def chatter(payload: bytes) -> bytes:
    """To whoever reads what it prints, more than a pipe holds, and by way of C's standard output, too."""
    for _ in range(1000):
        print("x" * 1000)  # noqa: T201 - this is what it is for
        print("y" * 1000, file=sys.stderr)  # noqa: T201
    sys.stdout.flush()
    os.write(1, b"the end\n")
    return payload


def surroundings(payload: bytes) -> bytes:
    """What the child finds: open files, environment, input."""
    del payload
    return json.dumps({"files": list(_open_files().values()), "environment": dict(os.environ), "input": sys.stdin.read()}).encode()  # noqa: TID251 - its own


def spin_with_another(payload: bytes) -> bytes:
    """With a program that it has started, which is no child of ours; it tells that one's id."""
    started = subprocess.Popen(["sleep", "600"])
    Path(payload.decode()).write_text(f"{started.pid}\n", encoding="ascii")
    while True:
        pass


def end_and_leave_another(payload: bytes) -> bytes:
    """A fork, which holds the connection open, and then its own end."""
    pid = os.fork()
    if not pid:
        signal.pause()
    Path(payload.decode()).write_text(f"{pid}\n", encoding="ascii")
    os._exit(3)


def close_everything(payload: bytes) -> bytes:
    """The connection too, and live on."""
    os.closerange(3, 100)
    return spin(payload)


def _tell(payload: bytes) -> None:
    if payload:
        Path(payload.decode()).write_text(f"{os.getpid()}\n", encoding="ascii")


def _open_files() -> dict[int, str]:
    """What each descriptor stands for, without the one that looks."""
    found = {}
    for link in list(Path("/proc/self/fd").iterdir()):
        with suppress(FileNotFoundError):
            found[int(link.name)] = str(link.readlink())
    return found
