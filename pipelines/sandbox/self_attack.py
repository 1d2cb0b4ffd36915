"""An attack on one's own sandbox, in seconds: whether this machine really denies what it is said to deny."""

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from pipelines.sandbox.attacks import LIMITS, Attack, attempt, cause
from pipelines.sandbox.sandbox import Sandbox

_SHORT = replace(LIMITS, seconds=0.3)

# fmt: off
ATTACKS = (
    Attack(name="read the users of the host", body="return open('/etc/passwd').read()", cause="ENOENT", landlock="EACCES"),
    Attack(name="list the homes", body="return os.listdir('/home')", cause="ENOENT", landlock="EACCES"),
    Attack(name="write beside the root", body="return os.open('/x', os.O_CREAT | os.O_WRONLY)", cause="EROFS", landlock="EACCES"),
    Attack(name="change Python's library", body="return os.unlink(os.__file__)", cause="EROFS", landlock="EPERM"),
    Attack(name="read another's environment", body="return open('/proc/1/environ').read()", cause="ENOENT", landlock="EACCES"),
    Attack(name="kill the parent", body="return os.kill(os.getppid(), signal.SIGKILL)", cause="EPERM"),
    Attack(name="start a process", body="return os.fork()", cause="EPERM"),
    Attack(name="run a program", body="return os.execv('/usr/bin/id', ['id'])", cause="EPERM"),
    Attack(name="connect to the network", body="return socket.create_connection(('127.0.0.1', 1))", cause="EPERM"),
    Attack(name="open a Unix socket", body="return socket.socket(socket.AF_UNIX).fileno()", cause="EPERM"),
    Attack(name="be root", body="return os.setuid(0)", cause="EPERM"),
    Attack(name="trace a process", body="return call('ptrace', 16, 1, 0, 0)", cause="denied"),
    Attack(name="mount something", body="return call('mount', 0, 0, 0, 0, 0)", cause="denied"),
    Attack(name="make a user namespace", body="return call('unshare', 0x10000000)", cause="denied"),
    Attack(name="use io_uring", body="return call('io_uring_setup', 1, 0)", cause="denied"),
    Attack(name="load a program into the kernel", body="return call('bpf', 0, 0, 0)", cause="denied"),
    Attack(name="type into a terminal", body="return call('ioctl', 1, 0x5412, 0)", cause="denied"),
    Attack(name="take all memory", body="return len(bytearray(4 << 30))", cause="memory_limit"),
    Attack(name="never end", body="time.sleep(3600)", cause="time_limit", limits=_SHORT),
    Attack(name="print without end", body="while True: print('x' * 10_000)", cause="output_limit"),
)
# fmt: on


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """Of one attack. ``denied``: it failed, and for the cause that was ``expected``."""

    name: str
    denied: bool
    expected: Any
    found: Any


async def attack_self(sandbox: Sandbox, attacks: Sequence[Attack] = ATTACKS) -> list[Verdict]:
    """What becomes of each of some attacks, made at once. Raises Unavailable where the sandbox itself failed."""
    return await asyncio.gather(*(_judge(sandbox, attack) for attack in attacks))


async def _judge(sandbox: Sandbox, attack: Attack) -> Verdict:
    found = cause(await attempt(sandbox, attack))
    denied = attack.denied(sandbox.isolation, found)
    return Verdict(name=attack.name, denied=denied, expected=attack.expected(sandbox.isolation), found=found)
