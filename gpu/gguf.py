"""Reading a GGUF file of a Llama-shaped model. The two halves of each query and key head stay interleaved, as the file has them.

Source: the GGUF specification (ggml-org/ggml, docs/gguf.md) and the block layouts of ggml-quants.
"""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from gguf import GGMLQuantizationType, GGUFReader, dequantize

from core.errors import SettingsError
from gpu.config import ModelConfig

GROUP, LANES = 32, 16  # of weights that share a scale; of what gpu/kernels.h works on at once
FOUR_BITS = (GGMLQuantizationType.Q4_0, GGMLQuantizationType.Q4_1)
ARCHITECTURE = "llama"

LARGEST = 127

Floats = npt.NDArray[np.float32]
Halves = npt.NDArray[np.float16]


class GgufFile:
    """One file, mapped into memory. Raises SettingsError where it is no GGUF or not a Llama."""

    def __init__(self, path: Path) -> None:
        try:
            self._reader = GGUFReader(path)
        except (OSError, ValueError) as error:
            message = f"{path} cannot be read as a GGUF file ({error})."
            raise SettingsError(message) from None
        self._tensors = {tensor.name: tensor for tensor in self._reader.tensors}
        self.path = path
        if self.field("general.architecture") != ARCHITECTURE:
            kind = self.field("general.architecture")
            message = f"{path} holds a {kind!r} model; of GGUF files only {ARCHITECTURE!r} ones are read. Give its safetensors folder."
            raise SettingsError(message)
        self.config = self._config()

    def field(self, name: str, default: Any = None) -> Any:
        """A metadata value."""
        found = self._reader.get_field(name)
        return default if found is None else found.contents()

    def __contains__(self, name: str) -> bool:
        """Whether there is a tensor of this name."""
        return name in self._tensors

    def is_four_bit(self, name: str) -> bool:
        """Whether a matrix has four bits a weight."""
        return self._tensors[name].tensor_type in FOUR_BITS

    def floats(self, name: str) -> Floats:
        """A tensor of any type, dequantised: float32 [N, K] or [N]."""
        tensor = self._tensors[name]
        values = np.array(dequantize(tensor.data, tensor.tensor_type), dtype=np.float32)
        return values.reshape([int(size) for size in reversed(tensor.shape)])

    def four_bits(self, name: str) -> tuple[npt.NDArray[np.uint8], Halves, Halves]:
        """A Q4_0 or Q4_1 matrix as (q uint8 [N, K] of 0..15, d float16 [N, K/32], m float16 [N, K/32]); a weight is ``q * d + m``."""
        tensor = self._tensors[name]
        rows, has_minimum = int(tensor.shape[1]), tensor.tensor_type is GGMLQuantizationType.Q4_1
        blocks = np.array(tensor.data).reshape(rows, int(tensor.shape[0]) // GROUP, -1)
        scale = _half(blocks[..., :2])
        minimum = _half(blocks[..., 2:4]) if has_minimum else np.float16(-8) * scale
        nibbles = blocks[..., 4:] if has_minimum else blocks[..., 2:]
        return np.concatenate([nibbles & 15, nibbles >> 4], -1).reshape(rows, -1), scale, minimum

    def eight_bits(self, name: str) -> tuple[npt.NDArray[np.int8], Halves]:
        """A matrix of any type as (q int8 [N, K], d float16 [N, K/32]); a weight is ``q * d``. Q8_0 is taken as it is."""
        tensor = self._tensors[name]
        if tensor.tensor_type is GGMLQuantizationType.Q8_0:
            rows = int(tensor.shape[1])
            blocks = np.array(tensor.data).reshape(rows, -1, 2 + GROUP)
            return np.ascontiguousarray(blocks[..., 2:]).view(np.int8).reshape(rows, -1), _half(blocks[..., :2])
        floats = self.floats(name)
        groups = floats.reshape(len(floats), -1, GROUP)
        scale = (np.abs(groups).max(-1) / LARGEST).astype(np.float16)
        by = np.maximum(scale.astype(np.float32), np.finfo(np.float16).tiny)[..., None]
        return np.clip(np.rint(groups / by), -LARGEST, LARGEST).astype(np.int8).reshape(floats.shape), scale

    def _config(self) -> ModelConfig:
        def value(name: str, default: Any = None) -> Any:
            return self.field(f"{ARCHITECTURE}.{name}", default)

        heads, hidden = int(value("attention.head_count")), int(value("embedding_length"))
        kind = value("rope.scaling.type", "none")
        head_size = int(value("attention.key_length", hidden // heads))
        if kind not in {"none", "linear"} or value("expert_count", 0) or value("rope.dimension_count", head_size) != head_size:
            message = (
                f"{self.path} uses a Llama variant (rope scaling {kind!r}, partial rope or experts) that is not read from GGUF. "
                "Give its safetensors folder."
            )
            raise SettingsError(message)
        if head_size % LANES or hidden % GROUP or int(value("feed_forward_length")) % GROUP:
            message = f"{self.path}: heads of {head_size} and rows of {hidden} numbers are not read from GGUF. Give its safetensors folder."
            raise SettingsError(message)
        return ModelConfig(
            layers=int(value("block_count")),
            heads=heads,
            kv_heads=int(value("attention.head_count_kv", heads)),
            head_size=head_size,
            hidden=hidden,
            feed_forward=int(value("feed_forward_length")),
            vocabulary=int(self._tensors["token_embd.weight"].shape[1]),
            context_length=int(value("context_length")),
            norm_epsilon=float(value("attention.layer_norm_rms_epsilon")),
            rope_theta=float(value("rope.freq_base", 10000.0)),
            rope_scaling=float(value("rope.scaling.factor", 1.0)) if kind == "linear" else 1.0,
        )


def _half(raw: npt.NDArray[np.uint8]) -> Halves:
    """Two bytes as a float16."""
    return np.ascontiguousarray(raw).view(np.float16)[..., 0]
