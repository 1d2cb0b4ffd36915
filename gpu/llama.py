"""A Llama's forward pass on our own kernels (gpu/llama.c), exact: a row's bits depend on its own tokens only.

Not on what else is in the batch, not on how its prompt was cut into chunks, not on a take-over, nor on the processor.
"""

import ctypes

import torch

from core.models.numerics import Numerics
from gpu.cache import Shape, SlotCache
from gpu.config import ModelConfig
from gpu.cores import Cores
from gpu.forward import Batch
from gpu.kernels import GROUP, LANES, Kernels, Layer, Matrix, Model, Step, address
from gpu.packing import MATRICES, NORMS, Weights
from gpu.prefixes import Copy

CHUNK_TOKENS = 256  # worked on at once; more would not stay in the processor's caches


class LlamaForward:
    """The model with its cache. ``threads``: of the steps to come, where no ``cores`` say."""

    numerics = Numerics(continued="equivalent", text="equivalent: not checked")
    cores: Cores | None = None

    def __init__(self, config: ModelConfig, weights: Weights, functions: Kernels) -> None:
        self.vocabulary = config.vocabulary
        self.context_length = config.context_length
        self.device = torch.device("cpu")
        self.shape = Shape(layers=config.layers, heads=config.kv_heads, size=config.head_size, dtype=torch.float32)
        self.kernels = functions
        self.threads = 1
        self.cache: SlotCache
        self._config = config
        self._weights = {**weights, "turns": _turns(config, weights.get("rope_factors"))}  # kept as long as the model points at them
        self._layers = (Layer * config.layers)(*(self._layer(index) for index in range(config.layers)))
        self._model = Model(
            layers=self._layers,
            embedding=self._matrix("embedding", config.vocabulary),
            head=self._matrix("head" if "head.values" in weights else "embedding", config.vocabulary),
            norm=address(weights["norm"]),
            turns=address(self._weights["turns"]),
            layer_count=config.layers,
            hidden=config.hidden,
            heads=config.heads,
            kv_heads=config.kv_heads,
            size=config.head_size,
            feed_forward=config.feed_forward,
            epsilon=config.norm_epsilon,
        )
        self._scratch = torch.empty(0)

    def allocate(self, rows: int, length: int) -> None:
        """Make the cache."""
        self.cache = SlotCache(self.shape, rows=rows, length=length, device=self.device)
        tokens = self.cache.tokens
        self._model.cache = address(tokens[0])
        self._model.row_stride, self._model.token_stride = tokens[0].stride(0), tokens[0].stride(1)
        self._model.layer_stride = self._model.token_stride * length

    def release(self, row: int) -> None:
        """Give a row's memory back."""
        self.cache.release(row)

    def copy(self, copy: Copy) -> None:
        """Take over another row's first tokens."""
        self.cache.copy(copy)

    @torch.inference_mode()
    def __call__(self, batch: Batch) -> torch.Tensor:
        """Logits, float32 [wanted, vocabulary]."""
        ids, rows, positions = (numbers.int() for numbers in (batch.ids, batch.rows, batch.positions))
        logits = torch.empty(len(batch.wanted), self.vocabulary)
        if self.cores:
            self.threads = self.cores.threads()
        done = 0
        for start in range(0, len(ids), CHUNK_TOKENS):
            stop = min(start + CHUNK_TOKENS, len(ids))
            wanted = torch.tensor([place - start for place in batch.wanted if start <= place < stop], dtype=torch.int32)
            self._step(ids[start:stop], rows[start:stop], positions[start:stop], wanted, logits[done:])
            done += len(wanted)
        return logits

    def _step(self, ids: torch.Tensor, rows: torch.Tensor, positions: torch.Tensor, wanted: torch.Tensor, logits: torch.Tensor) -> None:
        config, count = self._config, len(ids)
        heads = config.heads + config.kv_heads
        together = count * (2 * config.hidden + 2 * heads * config.head_size + config.feed_forward)
        scores = config.heads // config.kv_heads * (int(positions.max()) + 1 + LANES)
        apart = max(scores, count * max(config.hidden, config.feed_forward, config.heads * config.head_size) // GROUP)
        if self._scratch.numel() < together + self.threads * apart:
            self._scratch = torch.empty(together + self.threads * apart)
        self.kernels.step(
            Step(
                model=ctypes.pointer(self._model),
                count=count,
                wanted_count=len(wanted),
                ids=address(ids),
                rows=address(rows),
                positions=address(positions),
                wanted=address(wanted),
                logits=address(logits),
                scratch=address(self._scratch),
                scratch_floats=apart,
            ),
            self.threads,
        )

    def _layer(self, index: int) -> Layer:
        config = self._config
        sizes = {
            "query": config.heads * config.head_size,
            "key": config.kv_heads * config.head_size,
            "value": config.kv_heads * config.head_size,
            "gate": config.feed_forward,
            "up": config.feed_forward,
        }
        return Layer(
            **{name: address(self._weights[f"{index}.{name}"]) for name in NORMS},
            **{name: self._matrix(f"{index}.{name}", sizes.get(name, config.hidden)) for name in MATRICES},
        )

    def _matrix(self, name: str, rows: int) -> Matrix:
        values, scales = self._weights[f"{name}.values"], self._weights[f"{name}.scales"]
        bits = 4 if values.shape[2] == LANES else 8
        return Matrix(address(values), address(scales), rows, values.shape[1], bits)


def _turns(config: ModelConfig, factors: torch.Tensor | None) -> torch.Tensor:
    """Cosine and sine of each rotary pair, float32 [context, size / 2, 2]."""
    frequencies = 1.0 / config.rope_theta ** (torch.arange(0, config.head_size, 2).double() / config.head_size)
    if factors is not None:
        frequencies = frequencies / factors.double()
    angles = torch.arange(config.context_length).double()[:, None] / config.rope_scaling * frequencies
    return torch.stack((angles.cos(), angles.sin()), -1).float()
