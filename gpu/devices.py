"""Which device a worker computes on, and with how many threads. torch is imported only where there is a GPU to ask for."""

import ctypes
import os
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import SettingsError

if TYPE_CHECKING:
    import torch

CPU = "cpu"
DRIVER = "libcuda.so.1"
MEMORY_FILE = Path("/proc/meminfo")
CONTAINER_LIMIT = Path("/sys/fs/cgroup/memory.max")
PROCESSOR_LIMIT = Path("/sys/fs/cgroup/cpu.max")  # microseconds in each period, and the period (cgroup v2)


def choose(device: str) -> str:
    """``auto`` is CUDA where there is one, else the CPU. Raises SettingsError for a device that is not there."""
    if device == CPU or (device == "auto" and not _cuda_devices()):
        return CPU
    name = "cuda" if device == "auto" else device
    try:
        _torch(name)
    except (RuntimeError, AssertionError, ValueError) as error:
        message = f"PENSTOCK_DEVICE: {device!r} cannot be used here ({str(error).splitlines()[0]}). Set auto, cpu or cuda."
        raise SettingsError(message) from None
    return name


def threads(wanted: int | None = None) -> int:
    """The given number, else all cores but one: with every core busy, the threads that wait for one another collapse the speed."""
    return wanted or max(1, cores() - 1)


def cores() -> int:
    """How many cores this process may use, by its affinity and by the container's limit."""
    affinity = len(os.sched_getaffinity(0))
    quota, _, period = (PROCESSOR_LIMIT.read_text(encoding="ascii") if PROCESSOR_LIMIT.is_file() else "max 1").strip().partition(" ")
    return affinity if quota == "max" else max(1, min(affinity, int(quota) // int(period)))


def free_bytes(device: str) -> int:
    """Memory that could still be used on a device; on a CPU what the kernel and the container's limit allow."""
    if device != CPU:
        import torch  # noqa: PLC0415 - see above

        return int(torch.cuda.mem_get_info(_torch(device))[0])
    lines = dict(line.split(":", 1) for line in MEMORY_FILE.read_text(encoding="ascii").splitlines())
    available = int(lines["MemAvailable"].split()[0]) * 1024
    limit = CONTAINER_LIMIT.read_text(encoding="ascii").strip() if CONTAINER_LIMIT.is_file() else "max"
    return available if limit == "max" else min(available, int(limit))


def describe(device: str) -> str:
    """For people: ``cpu``, or the card's name."""
    if device == CPU:
        return CPU
    import torch  # noqa: PLC0415 - see above

    return torch.cuda.get_device_name(_torch(device))


def _torch(device: str) -> "torch.device":
    import torch  # noqa: PLC0415 - see above

    found = torch.device(device)
    torch.empty(1, device=found)
    return found


def _cuda_devices() -> int:
    """How many GPUs CUDA's driver shows to this process: none where there is no driver. Asking torch would cost seconds and 470 MB."""
    count = ctypes.c_int()
    try:
        driver = ctypes.CDLL(DRIVER)
        failed = driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count))
    except (OSError, AttributeError):
        return 0
    return 0 if failed else count.value
