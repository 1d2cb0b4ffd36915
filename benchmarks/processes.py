"""What processes use, as the kernel counts it."""

import os
import time
from collections.abc import Mapping
from pathlib import Path

import msgspec

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
BUSY = (0, 1, 2, 5, 6)  # user, nice, system, irq, softirq: places in the first line of /proc/stat


class Process(msgspec.Struct, frozen=True, kw_only=True):
    """``cpu_s``: user and system. ``started_s``: since the machine's boot. ``name``: the first words of its command."""

    pid: int
    parent: int
    name: str
    cpu_s: float
    started_s: float


class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes. ``proportional``: a page that several processes have in common is counted in parts.

    ``anonymous``: of these, what is no file's: pages of a file that it has mapped the kernel takes back when it needs them.
    """

    resident: int
    proportional: int
    anonymous: int


def family(root: int) -> list[Process]:
    """A process and all below it."""
    found = {process.pid: process for folder in Path("/proc").glob("[0-9]*") if (process := _process(folder))}
    pids = {root}
    while more := {pid for pid, process in found.items() if process.parent in pids} - pids:
        pids |= more
    return [found[pid] for pid in pids if pid in found]


def cpu_seconds(root: int) -> dict[int, float]:
    """Seconds of all processors that a process and those below it have used so far, by pid."""
    return {process.pid: process.cpu_s for process in family(root)}


def used(before: Mapping[int, float], after: Mapping[int, float]) -> float:
    """Seconds of all processors between two counts; what a process that has ended meanwhile used is not known."""
    return sum(seconds - before.get(pid, 0.0) for pid, seconds in after.items())


def busy_seconds() -> float:
    """Seconds of all processors that anything on this machine has used so far."""
    fields = Path("/proc/stat").read_text(encoding="ascii").split(maxsplit=8)[1:8]
    return sum(int(fields[place]) for place in BUSY) / TICKS_PER_S


def since_boot_s() -> float:
    """Now, on the clock of ``Process.started_s``."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def memory(pid: int) -> Memory:
    """What a process holds."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()[1:]
    kilobytes = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines)}
    return Memory(resident=kilobytes["Rss"] * 1024, proportional=kilobytes["Pss"] * 1024, anonymous=kilobytes["Pss_Anon"] * 1024)


def _process(folder: Path) -> Process | None:
    try:
        name, _, rest = (folder / "stat").read_text(encoding="utf-8", errors="replace").partition("(")[2].rpartition(")")
        command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return None  # it has ended
    fields = rest.split()
    return Process(
        pid=int(folder.name),
        parent=int(fields[1]),
        name=" ".join(word.rpartition("/")[2] for word in command.split()[1:4]) or name,
        cpu_s=(int(fields[11]) + int(fields[12])) / TICKS_PER_S,
        started_s=int(fields[19]) / TICKS_PER_S,
    )
