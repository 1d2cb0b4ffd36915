"""A GGUF's weights as gpu/kernels.h reads them, kept in a file.

It is mapped into memory: the second start only opens it, and the workers of a machine share it.

Q4_0 and Q4_1 matrices keep their four bits and Q8_0 ones their eight, with the file's own scales: nothing is rounded. Every other type
becomes eight bits in groups of 32. 32 rows of a matrix lie together, column after column.
"""

import contextlib
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
from safetensors.numpy import save_file

from gpu.config import ModelConfig
from gpu.gguf import GgufFile
from gpu.kernels import LANES, PANEL
from gpu.mapped import Weights, map_tensors

EDGE_BYTES = 1 << 16
LAYOUT = 2  # of what is kept; another number where its meaning changes
MATRICES = {
    "query": "attn_q",
    "key": "attn_k",
    "value": "attn_v",
    "output": "attn_output",
    "gate": "ffn_gate",
    "up": "ffn_up",
    "down": "ffn_down",
}
NORMS = {"attention_norm": "attn_norm", "feed_forward_norm": "ffn_norm"}


def fingerprint(path: Path) -> str:
    """A file's identity, cheap for a large one: its length and both ends."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        head = file.read(EDGE_BYTES)
        file.seek(max(0, size - EDGE_BYTES))
        return hashlib.sha256(b"%d:" % size + head + file.read()).hexdigest()[:16]


def load_packed(path: Path, folder: Path, progress: Callable[[str], None]) -> tuple[ModelConfig, Weights]:
    """A GGUF's shape and packed weights; packed at the first start, kept in ``folder``.

    A matrix is ``NAME.values`` uint8 [panels, columns, 16 or 32] and ``NAME.scales`` float16; without ``head`` it is the embedding's.
    """
    kept = folder / f"packed{LAYOUT}-{fingerprint(path)}.safetensors"
    if not kept.exists():
        progress(f"Packing {path.name} (once)")
        file = GgufFile(path)
        _write(kept, _pack(file), file.config)
    about, weights = map_tensors(kept)
    return msgspec.json.decode(about["config"], type=ModelConfig), weights


def _write(kept: Path, weights: Weights, config: ModelConfig) -> None:
    """Whole or not at all: several workers may do this at once."""
    kept.parent.mkdir(parents=True, exist_ok=True)
    draft = kept.with_suffix(f".{os.getpid()}")
    try:
        save_file(weights, draft, metadata={"config": msgspec.json.encode(config).decode()})
        draft.replace(kept)
    finally:
        with contextlib.suppress(FileNotFoundError):
            draft.unlink()


def _pack(file: GgufFile) -> Weights:
    weights: Weights = {"norm": file.floats("output_norm.weight")} | _matrix("embedding", file, "token_embd")
    if "output.weight" in file:
        weights |= _matrix("head", file, "output")
    if "rope_freqs.weight" in file:
        weights["rope_factors"] = file.floats("rope_freqs.weight")
    for layer in range(file.config.layers):
        for name, source in NORMS.items():
            weights[f"{layer}.{name}"] = file.floats(f"blk.{layer}.{source}.weight")
        for name, source in MATRICES.items():
            weights |= _matrix(f"{layer}.{name}", file, f"blk.{layer}.{source}")
    return weights


def _matrix(name: str, file: GgufFile, source: str) -> Weights:
    if file.is_four_bit(f"{source}.weight"):
        values, scale, minimum = file.four_bits(f"{source}.weight")
        lying = _panels(values)
        return {
            f"{name}.values": lying[..., :LANES] | lying[..., LANES:] << 4,
            f"{name}.scales": np.stack([_panels(scale), _panels(minimum)], 2),
        }
    whole, scale = file.eight_bits(f"{source}.weight")
    return {f"{name}.values": _panels(whole).view(np.uint8), f"{name}.scales": _panels(scale)}


def _panels(rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """[N, columns] to [N / PANEL, columns, PANEL], padded with zeros."""
    padded = np.pad(rows, ((0, -len(rows) % PANEL), (0, 0)))
    return np.ascontiguousarray(padded.reshape(-1, PANEL, rows.shape[1]).transpose(0, 2, 1))
