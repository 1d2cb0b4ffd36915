"""gpu/*.c, compiled for this processor once and called through ctypes.

The compiler is the ``ziglang`` wheel's: a pinned clang that needs nothing of the machine.
"""

import ctypes
import hashlib
import math
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from enum import IntEnum
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from core.errors import SettingsError

SOURCES = tuple(Path(__file__).with_name(name) for name in ("bert.c", "bert_bfloat16.c", "llama.c", "sampling.c"))
HEADER = Path(__file__).with_name("kernels.h")
HEADERS = (HEADER, *(HEADER.with_name(name) for name in ("bert.h", "bfloat16.h")))
IS_X86 = platform.machine() == "x86_64"
FLAGS = ("-O3", "-ffp-contract=off", "-shared", "-fPIC", "-Wall", "-Werror", *(("-mprefer-vector-width=512",) if IS_X86 else ()))
COMPILE_S = 120.0
PANEL, GROUP, LANES = 32, 32, 16  # as in kernels.h

Row = npt.NDArray[np.float32]
_Floats = ctypes.c_void_p


class KernelsMissing(SettingsError):
    """They cannot be compiled or loaded here; the detail says why."""


class Way(IntEnum):
    """How an encoder's products are computed: ``Way`` of bfloat16.h. FLOAT32 is everywhere; the others are in bfloat16."""

    FLOAT32 = 0
    AVX512_BF16 = 1
    AMX_BF16 = 2

    @property
    def label(self) -> str:
        """As processors' makers call it."""
        return self.name.replace("_", "-")


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
    """The compiled functions. ``target``: the processor that they were compiled for; ``name`` tells them from any others.

    ``ways``: of computing an encoder's products, those that this processor and its system have, the fastest last.
    Other Python threads run while one of them does.
    """

    def __init__(self, library: Path, target: str) -> None:
        self.target = target
        self.name = library.stem
        loaded = ctypes.CDLL(str(library))
        self._step, self._draw, self._mass = loaded.penstock_step, loaded.penstock_draw, loaded.penstock_mass
        self._embed, self._embed_bfloat16 = loaded.penstock_embed, loaded.penstock_embed_bfloat16
        ways: int = loaded.penstock_ways()
        self.ways = tuple(way for way in Way if ways >> way & 1)
        self._step.argtypes = (ctypes.POINTER(Step), ctypes.c_int)
        self._embed.argtypes = (ctypes.c_void_p, ctypes.c_int)
        self._embed_bfloat16.argtypes = (ctypes.c_void_p, ctypes.c_int, ctypes.c_int)
        self._draw.argtypes = (
            ctypes.c_void_p,
            ctypes.c_int64,
            ctypes.c_float,
            ctypes.c_double,
            ctypes.c_int64,
            ctypes.c_double,
            ctypes.c_void_p,
        )
        self._draw.restype = ctypes.c_int64
        self._mass.argtypes = (ctypes.c_void_p, ctypes.c_int64, ctypes.POINTER(ctypes.c_float), ctypes.c_void_p)
        self._mass.restype = ctypes.c_double

    def step(self, step: Step, threads: int) -> int:
        """Compute a step of a model; how many threads it had."""
        used: int = self._step(ctypes.byref(step), threads)
        return used

    def embed(self, threads: int, texts: ctypes.Structure) -> None:
        """Make vectors of ``Texts`` of bert.h."""
        self._embed(ctypes.byref(texts), threads)

    def embed_bfloat16(self, way: Way, threads: int, texts: ctypes.Structure) -> None:
        """The same in one of ``ways``."""
        self._embed_bfloat16(ctypes.byref(texts), way, threads)

    def draw(self, scores: Row, *, temperature: float, top_p: float, top_k: int, number: float) -> int:
        """The token that ``number`` in [0, 1) stands for; the best one for temperature 0; -1 where the scores are not finite."""
        work = np.empty(2 * (len(scores) + LANES), np.float32)
        token: int = self._draw(address(scores), len(scores), temperature, top_p, top_k, number, address(work))
        return token

    def log_probabilities(self, scores: Row) -> Row:
        """The logarithms of softmax."""
        work, top = np.empty(len(scores) + LANES, np.float32), ctypes.c_float()
        mass = self._mass(address(scores), len(scores), ctypes.byref(top), address(work))
        return (scores.astype(np.float64) - (top.value + math.log(mass))).astype(np.float32)


def targets() -> Sequence[str]:
    """The processors to compile for, the one that is fastest here first; each gives the same bits."""
    return ("native", "x86_64_v3") if IS_X86 else ("native",)


def compile_kernels(folder: Path, target: str, progress: Callable[[str], None], sources: Sequence[Path] = SOURCES) -> Kernels:
    """The functions, compiled now where ``folder`` has not kept them. Raises KernelsMissing."""
    try:
        compiler = version("ziglang")
    except PackageNotFoundError:
        message = "Its kernels cannot be compiled without the package ziglang: install penstock[gpu]."
        raise KernelsMissing(message) from None
    flags = (*FLAGS, f"-mcpu={target}")
    told = hashlib.sha256(
        "\0".join((compiler, _processor(), *flags)).encode() + b"".join(source.read_bytes() for source in (*HEADERS, *sources))
    )
    kept = folder / f"kernels-{told.hexdigest()[:16]}.so"
    if not kept.exists():
        progress("Compiling the kernels for this processor (once)")
        _compile((sys.executable, "-m", "ziglang", "cc", *flags, f"-I{HEADER.parent}", "-x", "c", "-"), sources, kept)
    try:
        return Kernels(kept, target)
    except OSError as error:
        message = f"{kept} cannot be loaded ({error}). Delete it; it is made again."
        raise KernelsMissing(message) from None


def _compile(command: Sequence[str], sources: Sequence[Path], kept: Path) -> None:
    """All sources as one. Whole or not at all: several workers may do this at once."""
    together = "".join(f'#include "{source}"\n' for source in sources)
    kept.parent.mkdir(parents=True, exist_ok=True)
    draft = kept.with_suffix(f".{os.getpid()}")
    try:
        with tempfile.TemporaryDirectory() as cache:
            environment = {**os.environ, "ZIG_GLOBAL_CACHE_DIR": cache, "ZIG_LOCAL_CACHE_DIR": cache}  # noqa: TID251 - the compiler's
            subprocess.run(  # noqa: S603 - our own source and flags
                (*command, "-o", str(draft)),
                input=together,
                env=environment,
                capture_output=True,
                text=True,
                timeout=COMPILE_S,
                check=True,
            )
        draft.replace(kept)
    except (OSError, subprocess.SubprocessError) as error:
        said = [line for line in (getattr(error, "stderr", "") or str(error)).splitlines() if "error" in line or not error.args]
        message = f"The kernels for this processor cannot be compiled ({said[0] if said else error})."
        raise KernelsMissing(message) from None
    finally:
        draft.unlink(missing_ok=True)


def _processor() -> str:
    """What tells processors apart that want other machine code."""
    file = Path("/proc/cpuinfo")
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else [platform.machine()]
    return "\n".join(dict.fromkeys(line for line in lines if line.startswith(("model name", "flags", "Features"))))


def address(numbers: npt.NDArray[Any]) -> int:
    """Where an array's numbers begin."""
    return int(numbers.ctypes.data)
