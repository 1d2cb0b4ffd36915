"""gpu/*.c, compiled for this processor once and called through ctypes.

The compiler is the ``ziglang`` wheel's: a pinned clang that needs nothing of the machine.
"""

import ctypes
import hashlib
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from core.errors import SettingsError

SOURCES = tuple(Path(__file__).with_name(name) for name in ("llama.c",))
HEADER = Path(__file__).with_name("kernels.h")
FLAGS = ("-O3", "-mprefer-vector-width=512", "-ffp-contract=off", "-shared", "-fPIC", "-Wall", "-Werror")
COMPILE_S = 120.0
PANEL, GROUP, LANES = 32, 32, 16  # as in kernels.h

_Floats = ctypes.c_void_p


class KernelsMissing(SettingsError):
    """They cannot be compiled or loaded here; the detail says why."""


class Matrix(ctypes.Structure):
    """``Matrix`` of kernels.h."""

    _fields_ = (
        ("values", ctypes.c_void_p),
        ("scales", ctypes.c_void_p),
        ("rows", ctypes.c_int32),
        ("columns", ctypes.c_int32),
        ("bits", ctypes.c_int32),
    )


class Layer(ctypes.Structure):
    """``Layer`` of llama.c."""

    _fields_ = (
        ("attention_norm", _Floats),
        ("feed_forward_norm", _Floats),
        *((name, Matrix) for name in ("query", "key", "value", "output", "gate", "up", "down")),
    )


class Model(ctypes.Structure):
    """``Model`` of llama.c."""

    _fields_ = (
        ("layers", ctypes.POINTER(Layer)),
        ("embedding", Matrix),
        ("head", Matrix),
        ("norm", _Floats),
        ("turns", _Floats),
        ("cache", _Floats),
        *((name, ctypes.c_int64) for name in ("row_stride", "layer_stride", "token_stride")),
        *((name, ctypes.c_int32) for name in ("layer_count", "hidden", "heads", "kv_heads", "size", "feed_forward")),
        ("epsilon", ctypes.c_float),
    )


class Step(ctypes.Structure):
    """``Step`` of llama.c."""

    _fields_ = (
        ("model", ctypes.POINTER(Model)),
        ("count", ctypes.c_int32),
        ("wanted_count", ctypes.c_int32),
        *((name, ctypes.c_void_p) for name in ("ids", "rows", "positions", "wanted", "logits", "scratch")),
        ("scratch_floats", ctypes.c_int64),
    )


class Kernels:
    """The compiled functions. ``target``: the processor that they were compiled for; ``name`` tells them from any others."""

    def __init__(self, library: Path, target: str) -> None:
        self.target = target
        self.name = library.stem
        self._step = ctypes.CDLL(str(library)).penstock_step
        self._step.argtypes = (ctypes.POINTER(Step), ctypes.c_int)
        self._step.restype = ctypes.c_int

    def step(self, step: Step, threads: int) -> int:
        """Compute a step; other Python threads run meanwhile. How many threads it had."""
        used: int = self._step(ctypes.byref(step), threads)
        return used


def targets() -> Sequence[str]:
    """The processors to compile for, the one that is fastest here first; each gives the same bits."""
    return ("native", "x86_64_v3") if platform.machine() == "x86_64" else ("native",)


def compiled(folder: Path, target: str, progress: Callable[[str], None], sources: Sequence[Path] = SOURCES) -> Kernels:
    """The functions, compiled now where ``folder`` has not kept them. Raises KernelsMissing."""
    try:
        compiler = version("ziglang")
    except PackageNotFoundError:
        message = "Its kernels cannot be compiled without the package ziglang: install penstock[gpu]."
        raise KernelsMissing(message) from None
    flags = (*FLAGS, f"-mcpu={target}")
    told = hashlib.sha256(
        "\0".join((compiler, _processor(), *flags)).encode() + b"".join(source.read_bytes() for source in (HEADER, *sources))
    )
    kept = folder / f"kernels-{told.hexdigest()[:16]}.so"
    if not kept.exists():
        progress("Compiling the kernels for this processor (once)")
        _compile((sys.executable, "-m", "ziglang", "cc", *flags, f"-I{HEADER.parent}", *map(str, sources)), kept)
    try:
        return Kernels(kept, target)
    except OSError as error:
        message = f"{kept} cannot be loaded ({error}). Delete it; it is made again."
        raise KernelsMissing(message) from None


def _compile(command: Sequence[str], kept: Path) -> None:
    """Whole or not at all: several workers may do this at once."""
    kept.parent.mkdir(parents=True, exist_ok=True)
    draft = kept.with_suffix(f".{os.getpid()}")
    try:
        with tempfile.TemporaryDirectory() as cache:
            environment = {**os.environ, "ZIG_GLOBAL_CACHE_DIR": cache, "ZIG_LOCAL_CACHE_DIR": cache}  # noqa: TID251 - the compiler's
            subprocess.run(  # noqa: S603 - our own source and flags
                (*command, "-o", str(draft)), env=environment, capture_output=True, text=True, timeout=COMPILE_S, check=True
            )
        draft.replace(kept)
    except (OSError, subprocess.SubprocessError) as error:
        said = (getattr(error, "stderr", "") or str(error)).strip().splitlines()
        message = f"The kernels for this processor cannot be compiled ({said[0] if said else type(error).__name__})."
        raise KernelsMissing(message) from None
    finally:
        draft.unlink(missing_ok=True)


def _processor() -> str:
    """What tells processors apart that want other machine code."""
    file = Path("/proc/cpuinfo")
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else [platform.machine()]
    return "\n".join(dict.fromkeys(line for line in lines if line.startswith(("model name", "flags", "Features"))))


def address(tensor: torch.Tensor) -> int:
    """Where a tensor's numbers begin."""
    return tensor.data_ptr()
