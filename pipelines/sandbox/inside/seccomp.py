"""The filter of system calls, as a program for the kernel's BPF machine.

It is assembled here and not by libseccomp: it is a list of numbers with a few tests of arguments, which is less code than a library's
binding asks for, needs no package of the machine, and is the same program wherever it runs.
"""

import errno
import platform
import socket
import struct
from collections.abc import Iterable
from socket import AF_INET, AF_UNIX, IPPROTO_TCP, SOCK_STREAM, SOL_SOCKET

from pipelines.sandbox.inside.syscalls import MACHINES, NEWEST, Action, numbers

_AUDIT_ARCHITECTURE = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_X32 = 0x40000000

_KILL_PROCESS, _ERRNO, _ALLOW = 0x80000000, 0x00050000, 0x7FFF0000
_REFUSE, _MISSING = _ERRNO | errno.EPERM, _ERRNO | errno.ENOSYS

_LOAD, _RETURN, _AND = 0x20, 0x06, 0x54
_IF_EQUAL, _IF_AT_LEAST, _IF_ANY_BIT = 0x15, 0x35, 0x45
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16  # where they are in what the kernel shows the program

_CLONE_THREAD, _CLONE_NEW_ANY = 0x10000, 0x7E020000
_SOCKET_TYPE = 0xF
_FCNTL = (*range(8), 36, 37, 38, 1030, 1032)  # descriptors, flags, locks; not who is sent a signal, nor leases
_IOCTL = (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)  # is it a terminal, how large, how much to read, non-blocking, close on exec
_IOCTL_ATTACKS = (0x5412, 0x541C)  # TIOCSTI and TIOCLINUX type into a terminal
_PRCTL = (15, 16)  # a thread's name
_OPTIONS = {  # what clients of HTTP set on their sockets; others bring programs of BPF, keys of TLS and firewalls into the kernel
    SOL_SOCKET: (
        socket.SO_REUSEADDR,
        socket.SO_SNDBUF,
        socket.SO_RCVBUF,
        socket.SO_KEEPALIVE,
        socket.SO_LINGER,
        socket.SO_RCVTIMEO,
        socket.SO_SNDTIMEO,
    ),
    IPPROTO_TCP: (
        socket.TCP_NODELAY,
        socket.TCP_KEEPIDLE,
        socket.TCP_KEEPINTVL,
        socket.TCP_KEEPCNT,
        socket.TCP_QUICKACK,
        socket.TCP_USER_TIMEOUT,
    ),
}


class Filter:
    """Programs for one machine. ``private_files``: no file that can be named is the host's."""

    def __init__(self, *, private_files: bool, machine: str | None = None) -> None:
        machine = machine or platform.machine()
        if machine not in MACHINES:
            message = f"the sandbox knows the system calls of {' and '.join(MACHINES)}, not those of {machine}"
            raise OSError(errno.ENOSYS, message)
        self._machine = machine
        self._numbers = numbers(machine)
        returns = {
            Action.ALLOW: _ALLOW,
            Action.PRIVATE: _ALLOW if private_files else _REFUSE,
            Action.MISSING: _MISSING,
            Action.KILL: _KILL_PROCESS,
        }
        self._plain = b"".join(
            _instruction(_IF_EQUAL, number, 0, 1) + _instruction(_RETURN, returns[action])
            for number, action in self._numbers.values()
            if action in returns
        )

    def program(self, process_id: int, *, outward: bool = False) -> bytes:
        """The filter of one process, which may send signals to itself only. ``outward``: it may connect by TCP."""
        checks = {
            "clone": _clone(),
            "socketpair": _socketpair(),
            "sendto": _sendto(),
            "fcntl": _argument(1, _FCNTL),
            "ioctl": _argument(1, _IOCTL, attacks=_IOCTL_ATTACKS),
            "prctl": _argument(0, _PRCTL),
            "prlimit64": _argument(0, (0,)),
            "kill": _argument(0, (process_id,)),
            "tgkill": _argument(0, (process_id,)),
        }
        if outward:
            checks = {"socket": _socket(), "connect": _instruction(_RETURN, _ALLOW), "setsockopt": _setsockopt(), **checks}
        guarded = b"".join(_only(self._numbers[name][0], check) for name, check in checks.items())
        return self._begin() + guarded + self._plain + _instruction(_RETURN, _REFUSE)

    def _begin(self) -> bytes:
        known = _instruction(_LOAD, _ARCHITECTURE)
        known += _instruction(_IF_EQUAL, _AUDIT_ARCHITECTURE[self._machine], 1, 0) + _instruction(_RETURN, _KILL_PROCESS)
        known += _instruction(_LOAD, _NUMBER)
        if self._machine == "x86_64":
            known += _instruction(_IF_AT_LEAST, _X32, 0, 1) + _instruction(_RETURN, _KILL_PROCESS)
        return known + _instruction(_IF_AT_LEAST, NEWEST + 1, 0, 1) + _instruction(_RETURN, _MISSING)


def _clone() -> bytes:
    """Threads, but no process, and nothing in new namespaces."""
    return (
        _load(0)
        + _instruction(_IF_ANY_BIT, _CLONE_NEW_ANY, 0, 1)
        + _instruction(_RETURN, _KILL_PROCESS)
        + _instruction(_IF_ANY_BIT, _CLONE_THREAD, 0, 1)
        + _instruction(_RETURN, _ALLOW)
        + _instruction(_RETURN, _REFUSE)
    )


def _socketpair() -> bytes:
    """Two ends that are joined to each other: asyncio wakes itself by one. With datagrams they could be sent to others."""
    return (
        _load(0)
        + _instruction(_IF_EQUAL, AF_UNIX, 1, 0)
        + _instruction(_RETURN, _REFUSE)
        + _load(1)
        + _instruction(_AND, _SOCKET_TYPE)
        + _instruction(_IF_EQUAL, SOCK_STREAM, 0, 1)
        + _instruction(_RETURN, _ALLOW)
        + _instruction(_RETURN, _REFUSE)
    )


def _socket() -> bytes:
    """TCP over IPv4, which is how a broker is reached."""
    return (
        _load(0)
        + _instruction(_IF_EQUAL, AF_INET, 1, 0)
        + _instruction(_RETURN, _REFUSE)
        + _load(1)
        + _instruction(_AND, _SOCKET_TYPE)
        + _instruction(_IF_EQUAL, SOCK_STREAM, 1, 0)
        + _instruction(_RETURN, _REFUSE)
        + _argument(2, (0, IPPROTO_TCP))
    )


def _setsockopt() -> bytes:
    levels = b"".join(_only(level, _argument(2, options)) for level, options in _OPTIONS.items())
    return _load(1) + levels + _instruction(_RETURN, _REFUSE)


def _sendto() -> bytes:
    """To no address: what ``send`` does."""
    return (
        _load(4)
        + _instruction(_IF_EQUAL, 0, 1, 0)
        + _instruction(_RETURN, _REFUSE)
        + _instruction(_LOAD, _ARGUMENTS + 4 * 8 + 4)
        + _instruction(_IF_EQUAL, 0, 0, 1)
        + _instruction(_RETURN, _ALLOW)
        + _instruction(_RETURN, _REFUSE)
    )


def _argument(index: int, allowed: Iterable[int], *, attacks: Iterable[int] = ()) -> bytes:
    """One argument, which the kernel reads as an int, has one of some values."""
    verdicts = [(value, _ALLOW) for value in allowed] + [(value, _KILL_PROCESS) for value in attacks]
    tests = b"".join(_instruction(_IF_EQUAL, value, 0, 1) + _instruction(_RETURN, verdict) for value, verdict in verdicts)
    return _load(index) + tests + _instruction(_RETURN, _REFUSE)


def _only(number: int, check: bytes) -> bytes:
    """A check that is gone through for one call, and ends with what becomes of it."""
    return _instruction(_IF_EQUAL, number, 0, len(check) // 8) + check


def _load(argument: int) -> bytes:
    """The lower half of an argument: both machines are little-endian."""
    return _instruction(_LOAD, _ARGUMENTS + 8 * argument)


def _instruction(code: int, value: int, then: int = 0, otherwise: int = 0) -> bytes:
    return struct.pack("=HBBI", code, then, otherwise, value)
