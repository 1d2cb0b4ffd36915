"""What a call may cost, and what became of it."""

from enum import StrEnum
from typing import Any

import msgspec

MIB = 1 << 20


class Isolation(StrEnum):
    """What stands between a user's code and the machine; the better one first."""

    BUBBLEWRAP = "bubblewrap"
    LANDLOCK = "landlock"


COVERS = {
    Isolation.BUBBLEWRAP: "namespaces (user, files, processes, network, IPC, host name), a filter of system calls, no capabilities, "
    "limits of memory, CPU time, threads, files and time; a temporary folder in memory",
    Isolation.LANDLOCK: "Landlock (reads Python's own files, writes none), a filter of system calls (no sockets, no processes), "
    "no capabilities, limits of memory, CPU time, files and time",
}
COVERS_NOT = {
    Isolation.BUBBLEWRAP: "faults of the kernel itself; what timing tells",
    Isolation.LANDLOCK: "faults of the kernel itself; what timing tells; which paths exist and how large they are; the host's name; "
    "how many threads there are, but by memory",
}


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Of one call. ``memory_bytes``: of address space beyond what is loaded; ``output_bytes``: of result, output and errors, each."""

    seconds: float = 10
    cpu_seconds: int = 5
    memory_bytes: int = 512 * MIB
    threads: int = 32
    open_files: int = 64
    file_bytes: int = 16 * MIB
    temporary_bytes: int = 32 * MIB
    output_bytes: int = MIB


class Given(msgspec.Struct, frozen=True, kw_only=True):
    """What the product gives a call beside its arguments; nothing of it is shown, because settings may be secret.

    ``valves``, ``user_valves``: settings, where the code has a class for them. ``injected``: parameters such as ``__user__``.
    """

    valves: dict[str, Any] | None = None
    user_valves: dict[str, Any] | None = None
    injected: dict[str, Any] = {}

    def __repr__(self) -> str:
        """Without what must not reach a log."""
        return f"Given(injected={tuple(self.injected)})"


class Reason(StrEnum):
    """Why a call has no result."""

    RAISED = "exception"
    NOT_FOUND = "not_found"
    UNSERIALISABLE = "not_serialisable"
    SETTINGS = "wrong_settings"
    TIME = "time_limit"
    CPU = "cpu_limit"
    MEMORY = "memory_limit"
    OUTPUT = "output_limit"
    DENIED = "denied"
    CRASHED = "crashed"


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """``exception``: its type; ``traceback``: the user's own lines; ``signal``: what ended the process."""

    reason: Reason
    message: str
    exception: str | None = None
    traceback: str | None = None
    signal: int | None = None


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """``result``: JSON, where there is no failure; ``seconds``: from the beginning of the user's code to the end of its process."""

    isolation: Isolation
    seconds: float
    stdout: str
    stderr: str
    result: msgspec.Raw | None = None
    failure: Failure | None = None


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    """How a call's process ended. ``broke``: the limit for which it was ended from outside."""

    status: int
    cpu_seconds: float
    broke: Reason | None = None
