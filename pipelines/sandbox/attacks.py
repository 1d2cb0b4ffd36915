"""What an attack is: code that tries something which the sandbox denies, and the cause for which it has to fail."""

import platform
from typing import Any

import msgspec

from core.json.decoding import decode
from pipelines.sandbox.inside.syscalls import numbers
from pipelines.sandbox.outcome import Isolation, Limits, Outcome
from pipelines.sandbox.sandbox import Sandbox

LIMITS = Limits(seconds=5, cpu_seconds=2, output_bytes=64 << 10)

# An error of the system is given by its name: a cause is more than that something failed.
_PRELUDE = """
import ctypes, errno, os, signal, socket, sys, threading, time
_libc = ctypes.CDLL(None, use_errno=True)

def call(name, *arguments):
    if _libc.syscall(ctypes.c_long(NUMBERS[name]), *(ctypes.c_long(a) if isinstance(a, int) else a for a in arguments)) < 0:
        return errno.errorcode[ctypes.get_errno()]
    return "done"

def run(numbers):
    global NUMBERS
    NUMBERS = numbers
    try:
        return attack()
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error))

def attack():
"""


class Attack(msgspec.Struct, frozen=True, kw_only=True):
    """``body``: of a function; ``cause``: what it gives where it is denied (an errno's name), or the reason of the call's failure.

    ``landlock``: the cause there, where it is another. A tuple: one of them, by what the machine is like. ``hosts``: what it may reach.
    """

    name: str
    body: str
    cause: Any
    landlock: Any = None
    limits: Limits = LIMITS
    hosts: tuple[str, ...] = ()

    def expected(self, isolation: Isolation) -> Any:
        """The cause for which it fails under a kind of isolation."""
        return self.cause if isolation == Isolation.BUBBLEWRAP or self.landlock is None else self.landlock

    def denied(self, isolation: Isolation, found: Any) -> bool:
        """Whether it failed for the right cause."""
        expected = self.expected(isolation)
        return found in expected if isinstance(expected, tuple) else bool(found == expected)


async def attempt(sandbox: Sandbox, attack: Attack) -> Outcome:
    """What becomes of an attack."""
    body = "\n".join(f"    {line}" for line in attack.body.strip().splitlines())
    known = {name: number for name, (number, _) in numbers(platform.machine()).items()}
    code, arguments = _PRELUDE + body, {"numbers": known}
    return await sandbox.call(code=code, function="run", arguments=arguments, limits=attack.limits, hosts=attack.hosts)


def cause(outcome: Outcome) -> Any:
    """What an attack came to: its result, or why it has none."""
    if outcome.failure is not None:
        return outcome.failure.exception or outcome.failure.reason.value
    return decode(bytes(outcome.result or b"null"), object)
