"""What a child does to itself before it runs anything of a user: namespaces or Landlock, limits, no capabilities, the filter."""

import errno
import os
import resource
import signal
import socket
from fcntl import F_DUPFD_CLOEXEC, fcntl
from typing import TypedDict

from pipelines.sandbox.inside.kernel import (
    CLONE_NEWNS,
    CLONE_NEWPID,
    CLONE_NEWUSER,
    MS_NODEV,
    MS_NOEXEC,
    MS_NOSUID,
    MS_RDONLY,
    PR_SET_DUMPABLE,
    PR_SET_PDEATHSIG,
    bind_again,
    drop_capabilities,
    landlock_restrict,
    load_filter,
    map_own_ids,
    mount_tmpfs,
    prctl,
    set_namespace,
    unshare,
)
from pipelines.sandbox.inside.landlock import ruleset
from pipelines.sandbox.inside.seccomp import Filter

TEMPORARY = "/tmp"  # noqa: S108 - a file system of the child's own
NOBODY = 65_534
CALL_DESCRIPTORS = 4  # input, output, errors, answer
_MAX_DESCRIPTORS = 1 << 20
_LOOPBACK = "127.0.0.1"


class Limits(TypedDict):
    """Of one call; ``memory_bytes``: beyond what the zygote has loaded."""

    cpu_seconds: int
    memory_bytes: int
    threads: int
    open_files: int
    file_bytes: int
    temporary_bytes: int


class Namespaces:
    """By bubblewrap outside, and user, mount and PID namespaces for each child. The zygote itself is the first process of one of PIDs.

    Children share the network and IPC namespaces that bubblewrap made. There is nothing in them but a door to the broker, and the filter
    lets nobody use them but a call that may reach hosts, which can connect to that door.
    """

    def __init__(self) -> None:
        """Become the owner of a user namespace, in a child, which goes on; this process waits for it and ends as it ends."""
        self._filter = Filter(private_files=True)
        if os.getuid() == 0:
            os.setgroups([])
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
            prctl(PR_SET_DUMPABLE, 1)  # else /proc/self would be root's still
        unshare(CLONE_NEWUSER | CLONE_NEWPID)
        map_own_ids()
        if child := os.fork():
            os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) & 0xFF)
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        self._own = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
        self._below = os.listdir(TEMPORARY)  # noqa: PTH208 - Python's own, where the product is installed there

    def fork(self) -> int:
        """A child that is the first process of a new namespace: when it ends, the kernel ends all that it started."""
        unshare(CLONE_NEWPID)
        try:
            child = os.fork()
        except OSError:
            set_namespace(self._own, CLONE_NEWPID)
            raise
        if child:
            set_namespace(self._own, CLONE_NEWPID)
        return child

    def open_door(self) -> socket.socket | None:
        """What the worker accepts connections by: a socket that listens stays in its namespace, whoever holds it."""
        return socket.create_server((_LOOPBACK, 0))

    def confine(self, limits: Limits, *, outward: bool) -> None:
        """In the child. ``outward``: it may connect."""
        memory_bytes = _loaded_bytes() + limits["memory_bytes"]
        unshare(CLONE_NEWUSER | CLONE_NEWNS)
        map_own_ids()
        options = f"size={limits['temporary_bytes']},nr_inodes={limits['temporary_bytes'] // 1024},mode=700"
        below = [(f"{TEMPORARY}/{name}", os.open(f"{TEMPORARY}/{name}", os.O_PATH)) for name in self._below]
        mount_tmpfs(TEMPORARY, MS_NOSUID | MS_NODEV | MS_NOEXEC, options)
        for path, descriptor in below:
            os.makedirs(path, exist_ok=True)  # noqa: PTH103 - the same
            bind_again(descriptor, path)
        mount_tmpfs("/proc", MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY, "size=4k,nr_inodes=2,mode=555")
        os.chdir(TEMPORARY)
        resource.setrlimit(resource.RLIMIT_NPROC, (limits["threads"], limits["threads"]))
        _limit(limits, memory_bytes)
        _close_others()
        drop_capabilities()
        load_filter(self._filter.program(os.getpid(), outward=outward))


class Landlock:
    """Where there are no namespaces: reading Python's files and no others, writing none, and no other process.

    The number of threads is bounded by memory only: the kernel counts those of the user, and not of the call.
    """

    def __init__(self, readable: list[str]) -> None:
        self._filter = Filter(private_files=False)
        self._rules = fcntl(ruleset(readable), F_DUPFD_CLOEXEC, CALL_DESCRIPTORS)  # not where a call's own are put
        self._zygote = os.getpid()

    def fork(self) -> int:
        """A child; the filter lets it have no other process, so that its end is the end of all of it."""
        return os.fork()

    def open_door(self) -> socket.socket | None:
        """None: in the host's own network, whoever reaches a door reaches all else that listens there."""
        return None

    def confine(self, limits: Limits, *, outward: bool) -> None:
        """In the child."""
        if outward:
            raise OSError(errno.EPERM, "by Landlock alone, nothing is reached")
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != self._zygote:
            os._exit(1)
        memory_bytes = _loaded_bytes() + limits["memory_bytes"]
        os.chdir("/")
        _limit(limits, memory_bytes)
        drop_capabilities()
        landlock_restrict(self._rules)
        _close_others()
        load_filter(self._filter.program(os.getpid()))


def _close_others() -> None:
    """All descriptors but those of the call."""
    os.closerange(CALL_DESCRIPTORS, _MAX_DESCRIPTORS)


def _limit(limits: Limits, memory_bytes: int) -> None:
    for kind, most in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_CPU, limits["cpu_seconds"]),  # the hard one at once: the first of a PID namespace is not sent SIGXCPU
        (resource.RLIMIT_NOFILE, limits["open_files"]),
        (resource.RLIMIT_FSIZE, limits["file_bytes"]),
        (resource.RLIMIT_AS, memory_bytes),
    ):
        resource.setrlimit(kind, (most, most))


def _loaded_bytes() -> int:
    """How much address space this process has now."""
    descriptor = os.open("/proc/self/statm", os.O_RDONLY)
    pages = int(os.read(descriptor, 100).split()[0])
    os.close(descriptor)
    if not pages:
        raise OSError(errno.EIO, "/proc/self/statm says nothing")
    return pages * resource.getpagesize()
