"""What the tests run on: it stands above their results."""

import os
import platform
from collections.abc import Mapping
from fnmatch import fnmatch
from pathlib import Path

FLAGS = ("avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16", "amx_*")  # those that libraries choose their code by
SETTINGS = ("ATEN_CPU_CAPABILITY", "MKL_CBWR", "MKL_ENABLE_INSTRUCTIONS", "ONEDNN_MAX_CPU_ISA", "PENSTOCK_TEST_THREADS")


def describe_settings(processor: str, cores: int, environment: Mapping[str, str]) -> list[str]:
    """Two lines. ``processor``: as in /proc/cpuinfo."""
    lines = dict(reversed([line.split(":", 1) for line in processor.splitlines() if ":" in line]))
    facts = {name.strip(): value.strip() for name, value in lines.items()}
    flags = [flag for flag in facts.get("flags", "").split() if any(fnmatch(flag, pattern) for pattern in FLAGS)]
    name = facts.get("model name", platform.machine())
    if "cpu family" in facts and "model" in facts:  # processors of one name may compute at half each other's pace
        name += f" (family {facts['cpu family']}, model {facts['model']})"
    set_here = [f"{name}={environment[name]}" for name in SETTINGS if name in environment]
    return [f"processor: {name}, {cores} cores, {' '.join(flags) or 'no flags'}", f"settings: {' '.join(set_here) or 'none'}"]


def describe() -> list[str]:
    """Of this machine and this process."""
    file = Path("/proc/cpuinfo")
    return describe_settings(file.read_text(encoding="utf-8") if file.is_file() else "", len(os.sched_getaffinity(0)), os.environ)  # noqa: TID251
