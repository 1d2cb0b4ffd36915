"""A GGUF's weights as torch's int4 and int8 CPU kernels want them, kept in a file, so that a second start only reads it.

Q4_0 and Q4_1 matrices keep their four bits: groups of 32, ``scale = d``, ``zero = m + 8 d``, in bfloat16. Every other type becomes int8
with one scale a row, the output layer too. The int4 layout depends on the processor's vector width and on torch, so the file's name holds
both.
"""

import contextlib
import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import msgspec
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from gpu.config import ModelConfig
from gpu.gguf import GgufFile

EDGE_BYTES = 1 << 16
LAYOUT = 2  # of what is kept; another number where its meaning changes
FUSED = {"qkv": ("attn_q", "attn_k", "attn_v"), "output": ("attn_output",), "gate_up": ("ffn_gate", "ffn_up"), "down": ("ffn_down",)}
NORMS = {"attention_norm": "attn_norm", "feed_forward_norm": "ffn_norm"}

Weights = dict[str, torch.Tensor]


def fingerprint(path: Path) -> str:
    """A file's identity, cheap for a large one: its length and both ends."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        head = file.read(EDGE_BYTES)
        file.seek(max(0, size - EDGE_BYTES))
        return hashlib.sha256(b"%d:" % size + head + file.read()).hexdigest()[:16]


def load_packed(path: Path, folder: Path, progress: Callable[[str], None]) -> tuple[ModelConfig, Weights]:
    """A GGUF's shape and packed weights; packed at the first start, kept in ``folder``."""
    capability = torch.backends.cpu.get_cpu_capability().lower()
    kept = folder / f"packed{LAYOUT}-{fingerprint(path)}-{capability}-{torch.__version__.split('+')[0]}.safetensors"
    if not kept.exists():
        progress(f"Packing {path.name} for this processor (once)")
        file = GgufFile(path)
        _write(kept, _pack(file), file.config)
    with safe_open(kept, framework="pt") as stored:
        config = msgspec.json.decode(stored.metadata()["config"], type=ModelConfig)
        # Copied, because torch's int8 kernel crashes on weights that do not begin at a multiple of 64 bytes, and a file's need not.
        return config, {name: stored.get_tensor(name).clone() for name in stored.keys()}  # noqa: SIM118 - not a mapping


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
    weights: Weights = {"embedding": file.floats("token_embd.weight").to(torch.bfloat16), "norm": file.floats("output_norm.weight")}
    output = file.floats("output.weight" if "output.weight" in file else "token_embd.weight")
    weights |= _int8("head", output, scales=torch.float32)
    if "rope_freqs.weight" in file:
        weights["rope_factors"] = file.floats("rope_freqs.weight")
    for layer in range(file.config.layers):
        for name, source in NORMS.items():
            weights[f"{layer}.{name}"] = file.floats(f"blk.{layer}.{source}.weight")
        for name, sources in FUSED.items():
            parts = [f"blk.{layer}.{source}.weight" for source in sources]
            whole = all(file.is_four_bit(part) for part in parts)
            weights |= (
                _int4(f"{layer}.{name}", file, parts)
                if whole
                else _int8(f"{layer}.{name}", torch.cat([file.floats(part) for part in parts]))
            )
    return weights


def _int4(name: str, file: GgufFile, parts: list[str]) -> Weights:
    """``values``: packed nibbles; ``scales``: bfloat16 [K/32, N, 2] of (scale, zero)."""
    read = [file.four_bits(part) for part in parts]
    values, scale, minimum = (torch.cat([part[index] for part in read]) for index in range(3))
    scales = torch.stack([scale.t(), (minimum + 8 * scale).t()], -1).contiguous().to(torch.bfloat16)
    packed = torch.ops.aten._convert_weight_to_int4pack_for_cpu(values, 1)  # noqa: SLF001 - torch has no other name for it
    return {f"{name}.int4": packed, f"{name}.scales": scales}


def _int8(name: str, weight: torch.Tensor, scales: torch.dtype = torch.bfloat16) -> Weights:
    """``int8`` [N, K] with ``scales`` [N]: bfloat16, as torch's kernel for them wants."""
    scale = (weight.abs().amax(1, keepdim=True) / 127).clamp(min=torch.finfo(torch.float32).tiny)
    return {f"{name}.int8": (weight / scale).round().to(torch.int8), f"{name}.scales": scale.squeeze(1).to(scales)}
