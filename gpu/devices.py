"""Which device a worker computes on, and with how many threads."""

import os
from pathlib import Path

import torch

from core.errors import SettingsError

MEMORY_FILE = Path("/proc/meminfo")
CONTAINER_LIMIT = Path("/sys/fs/cgroup/memory.max")


def choose(device: str) -> torch.device:
    """``auto`` is CUDA where there is one, else the CPU. Raises SettingsError for a device that is not there."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
        torch.empty(1, device=chosen)
    except (RuntimeError, AssertionError, ValueError) as error:
        message = f"PENSTOCK_DEVICE: {device!r} cannot be used here ({str(error).splitlines()[0]}). Set auto, cpu or cuda."
        raise SettingsError(message) from None
    return chosen


def threads(wanted: int | None = None) -> int:
    """The given number, else all cores but one: with every core busy, the threads that wait for one another collapse the speed."""
    return wanted or max(1, cores() - 1)


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0))


def free_bytes(device: torch.device) -> int:
    """Memory that could still be used on a device; on a CPU what the kernel and the container's limit allow."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    lines = dict(line.split(":", 1) for line in MEMORY_FILE.read_text(encoding="ascii").splitlines())
    available = int(lines["MemAvailable"].split()[0]) * 1024
    limit = CONTAINER_LIMIT.read_text(encoding="ascii").strip() if CONTAINER_LIMIT.is_file() else "max"
    return available if limit == "max" else min(available, int(limit))


def named(device: torch.device) -> str:
    """For people: ``cpu``, or the card's name."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
