"""A Llama's forward pass on torch's int4 and int8 CPU kernels, exact: a row's bits depend on its own tokens only.

Not on what else is in the batch, not on how its prompt was cut into chunks, not on a take-over. What that rests on: int4 and int8 matrices
with bfloat16 activations give a row the same bits at every batch size (float32 ones do not); so does bfloat16 attention over lengths
rounded up to whole blocks, the rest masked; a prompt's tokens are rows like any others; MKL is held to one code path (gpu/environment.py).
"""

from typing import Literal

import torch
from torch.nn import functional

from gpu.cache import Shape, SlotCache
from gpu.config import ModelConfig
from gpu.forward import Batch
from gpu.packing import Weights
from gpu.prefixes import Copy
from gpu.spans import Span, padded

GROUP = 32

_int4 = torch.ops.aten._weight_int4pack_mm_for_cpu.default  # noqa: SLF001 - torch has no other name for it
_int8 = torch.ops.aten._weight_int8pack_mm.default  # noqa: SLF001 - the same
_attend = functional.scaled_dot_product_attention
_norm = functional.rms_norm


class Linear:
    """A matrix in four or eight bits: bfloat16 [tokens, K] to bfloat16 [tokens, N]."""

    def __init__(self, weights: Weights, name: str) -> None:
        self._is_int4 = f"{name}.int4" in weights
        self._values = weights[f"{name}.int4" if self._is_int4 else f"{name}.int8"]
        self._scales = weights[f"{name}.scales"]

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """The product."""
        product: torch.Tensor = _int4(x, self._values, GROUP, self._scales) if self._is_int4 else _int8(x, self._values, self._scales)
        return product


class Layer:
    """One layer's weights."""

    def __init__(self, weights: Weights, index: int) -> None:
        self.attention_norm = weights[f"{index}.attention_norm"]
        self.qkv = Linear(weights, f"{index}.qkv")
        self.output = Linear(weights, f"{index}.output")
        self.feed_forward_norm = weights[f"{index}.feed_forward_norm"]
        self.gate_up = Linear(weights, f"{index}.gate_up")
        self.down = Linear(weights, f"{index}.down")


class LlamaForward:
    """The model with its cache."""

    continued: Literal["exact", "equivalent"] = "exact"

    def __init__(self, config: ModelConfig, weights: Weights) -> None:
        self.vocabulary = config.vocabulary
        self.context_length = config.context_length
        self.device = torch.device("cpu")
        self.shape = Shape(layers=config.layers, heads=config.kv_heads, size=config.head_size, dtype=torch.bfloat16)
        self._config = config
        self._embedding = weights["embedding"]
        self._layers = [Layer(weights, index) for index in range(config.layers)]
        self._norm = weights["norm"]
        self._head = Linear(weights, "head")
        self._turns = _turns(config, weights.get("rope_factors"))
        self._places = torch.arange(padded(config.context_length))
        self._cache: SlotCache

    def allocate(self, rows: int, length: int) -> None:
        """Make the cache."""
        self._cache = SlotCache(self.shape, rows=rows, length=padded(length), device=self.device)

    def release(self, row: int) -> None:
        """Give a row's memory back."""
        self._cache.release(row)

    def copy(self, copy: Copy) -> None:
        """Take over another row's first tokens."""
        self._cache.copy(copy)

    @torch.inference_mode()
    def __call__(self, batch: Batch) -> torch.Tensor:
        """Logits, bfloat16 [wanted, vocabulary]."""
        config, cache, rows, positions = self._config, self._cache, batch.rows, batch.positions
        heads, kv, size, hidden, epsilon = config.heads, config.kv_heads, config.head_size, (config.hidden,), config.norm_epsilon
        count = batch.ids.shape[0]
        turns = self._turns[positions].unsqueeze(1)
        masks = [self._mask(span, positions) for span in batch.spans]
        x = self._embedding[batch.ids].float()
        for index, layer in enumerate(self._layers):
            qkv = layer.qkv(_norm(x, hidden, layer.attention_norm, epsilon).to(torch.bfloat16)).view(count, heads + 2 * kv, size)
            turning = qkv[:, : heads + kv]
            turned = torch.view_as_complex(turning.float().view(count, heads + kv, size // 2, 2)) * turns
            turning.copy_(torch.view_as_real(turned).view(count, heads + kv, size))
            cache.layers[index][rows, :, positions] = qkv[:, heads:]
            query = qkv[:, :heads].reshape(count, kv, heads // kv, size)
            seen = [self._span(index, span, query, mask) for span, mask in zip(batch.spans, masks, strict=True)]
            x += layer.output((seen[0] if len(seen) == 1 else torch.cat(seen)).reshape(count, heads * size))
            gate, up = layer.gate_up(_norm(x, hidden, layer.feed_forward_norm, epsilon).to(torch.bfloat16)).chunk(2, -1)
            x += layer.down(functional.silu(gate) * up)
        if not batch.wanted:
            return x.new_empty(0, self.vocabulary)
        asked = x if len(batch.wanted) == count else x[batch.wanted]
        return self._head(_norm(asked, hidden, self._norm, epsilon).to(torch.bfloat16))

    def _span(self, layer: int, span: Span, query: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        count = span.stop - span.start
        stop = span.row + (1 if span.shared else count)
        keys, values = (
            self._cache.keys[layer][span.row : stop, :, : span.length],
            self._cache.values[layer][span.row : stop, :, : span.length],
        )
        if span.shared:
            keys, values = keys.expand(count, -1, -1, -1), values.expand(count, -1, -1, -1)
        return _attend(query[span.start : span.stop], keys, values, attn_mask=mask)

    def _mask(self, span: Span, positions: torch.Tensor) -> torch.Tensor:
        """bfloat16 [tokens, 1, 1, length]: 0 for what a token may see, minus infinity for the rest."""
        hidden = self._places[: span.length] > positions[span.start : span.stop, None]
        return torch.zeros(hidden.shape, dtype=torch.bfloat16).masked_fill_(hidden, -torch.inf)[:, None, None]


def _turns(config: ModelConfig, factors: torch.Tensor | None) -> torch.Tensor:
    """Rotary positions as complex numbers, complex64 [context, size / 2]."""
    frequencies = 1.0 / config.rope_theta ** (torch.arange(0, config.head_size, 2).double() / config.head_size)
    if factors is not None:
        frequencies = frequencies / factors.double()
    angles = torch.arange(padded(config.context_length)).double()[:, None] / config.rope_scaling * frequencies
    return torch.polar(torch.ones_like(angles), angles).to(torch.complex64)
