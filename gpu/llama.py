"""A Llama's forward pass on torch's int4 and int8 CPU kernels, exact: a row's bits depend on its own tokens only.

Not on what else is in the batch, not on how its prompt was cut into chunks, not on a take-over: each token is a row of every product, in
prompts as in answers, and attends over a length that follows from its own position (gpu/spans.py). What this still leaves to libraries
stands in gpu/numerics.py, which looks whether it holds where the worker runs.
"""

from typing import Literal

import torch
from torch.nn import functional

from gpu.cache import Shape, SlotCache
from gpu.config import ModelConfig
from gpu.forward import Batch
from gpu.head import Head
from gpu.packing import Weights
from gpu.prefixes import Copy
from gpu.spans import Span, padded, spans_of

GROUP = 32
SERIAL = 32_767  # elements that torch works on in one thread; of more, each thread's last few go through other code than the rest

_int4 = torch.ops.aten._weight_int4pack_mm_for_cpu.default  # noqa: SLF001 - torch has no other name for it
_int8 = torch.ops.aten._weight_int8pack_mm.default  # noqa: SLF001 - the same
_attend = functional.scaled_dot_product_attention
_norm = torch.rms_norm


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
        self.shape = Shape(layers=config.layers, heads=config.kv_heads, size=config.head_size, dtype=torch.float32)
        self._config = config
        self._embedding = weights["embedding"]
        self._layers = [Layer(weights, index) for index in range(config.layers)]
        self._norm = weights["norm"]
        self._head = Head(weights["head.int8"], weights["head.scales"])
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
        """Logits, float32 [wanted, vocabulary]."""
        config, rows, positions = self._config, batch.rows, batch.positions
        heads, kv, size, hidden, epsilon = config.heads, config.kv_heads, config.head_size, (config.hidden,), config.norm_epsilon
        count = batch.ids.shape[0]
        turns = self._turns[positions].unsqueeze(1)
        attentions = [_Attention(self._cache, span, self._mask(span, positions)) for span in spans_of(batch.runs)]
        x = self._embedding[batch.ids].float()
        for index, layer in enumerate(self._layers):
            made = layer.qkv(_norm(x, hidden, layer.attention_norm, epsilon).to(torch.bfloat16)).float().view(count, heads + 2 * kv, size)
            _turn(made[:, : heads + kv], turns)
            self._cache.tokens[index][rows, positions] = made[:, heads:]
            query = made[:, :heads].view(count, kv, heads // kv, size)
            seen = [attention(index, query) for attention in attentions]
            together = (seen[0] if len(seen) == 1 else torch.cat(seen)).view(count, heads * size)
            x += layer.output(together.to(torch.bfloat16))
            x += layer.down(_gated(layer.gate_up(_norm(x, hidden, layer.feed_forward_norm, epsilon).to(torch.bfloat16))))
        if not batch.wanted:
            return x.new_empty(0, self.vocabulary)
        asked = x if len(batch.wanted) == count else x[batch.wanted]
        return self._head(_norm(asked, hidden, self._norm, epsilon))

    def _mask(self, span: Span, positions: torch.Tensor) -> torch.Tensor:
        """float32 [tokens, 1, 1, length]: 0 for what a token may see, minus infinity for the rest."""
        hidden = self._places[: span.length] > positions[span.start : span.stop, None]
        return torch.zeros(hidden.shape).masked_fill_(hidden, -torch.inf)[:, None, None]


class _Attention:
    """What the tokens of a span see, in every layer."""

    def __init__(self, cache: SlotCache, span: Span, mask: torch.Tensor) -> None:
        self._tokens = slice(span.start, span.stop)
        self._mask = mask
        self._keys, self._values = cache.seen(span.row, span.row + (1 if span.shared else span.stop - span.start), span.length)
        self._shape = (span.stop - span.start, *self._keys[0].shape[1:]) if span.shared else None

    def __call__(self, layer: int, query: torch.Tensor) -> torch.Tensor:
        """From float32 [all tokens, kv heads, heads / kv heads, size], the span's part of the same."""
        keys, values = self._keys[layer], self._values[layer]
        if self._shape:
            keys, values = keys.expand(self._shape), values.expand(self._shape)
        return _attend(query[self._tokens], keys, values, attn_mask=self._mask)


def _turn(heads: torch.Tensor, turns: torch.Tensor) -> None:
    """Rotary positions, in place: float32 [tokens, heads, size], complex64 [tokens, 1, size / 2]."""
    _, number, size = heads.shape
    for some, by in zip(*(each.split(max(1, SERIAL // (number * size))) for each in (heads, turns)), strict=True):
        torch.view_as_complex(some.view(-1, number, size // 2, 2)).mul_(by)


def _gated(gate_up: torch.Tensor) -> torch.Tensor:
    """SwiGLU: bfloat16 [tokens, 2 x N] to [tokens, N]."""
    gate, up = gate_up.chunk(2, -1)
    if gate.numel() <= SERIAL:
        return functional.silu(gate).mul_(up)
    return torch.cat([functional.silu(some) for some in gate.split(max(1, SERIAL // gate.shape[1]))]).mul_(up)


def _turns(config: ModelConfig, factors: torch.Tensor | None) -> torch.Tensor:
    """Rotary positions as complex numbers, complex64 [context, size / 2]."""
    frequencies = 1.0 / config.rope_theta ** (torch.arange(0, config.head_size, 2).double() / config.head_size)
    if factors is not None:
        frequencies = frequencies / factors.double()
    angles = torch.arange(padded(config.context_length)).double()[:, None] / config.rope_scaling * frequencies
    return torch.polar(torch.ones_like(angles), angles).to(torch.complex64)
