"""A Llama's forward pass on our own kernels (gpu/llama.c), exact: a row's bits depend on its own tokens only.

Not on what else is in the batch, not on how its prompt was cut into chunks, not on a take-over, nor on the processor.
"""

import ctypes

import numpy as np
import numpy.typing as npt

from core.models.numerics import Numerics
from gpu import sampler
from gpu.cache import RowCache, Shape
from gpu.config import ModelConfig
from gpu.cores import Cores
from gpu.forward import Batch
from gpu.kernels import GROUP, LANES, PANEL, Kernels, Layer, Matrix, Model, Step, address
from gpu.mapped import Weights
from gpu.packing import MATRICES, NORMS
from gpu.prefix_cache import Copy
from gpu.sequence import Sequence

Floats = npt.NDArray[np.float32]
Whole = npt.NDArray[np.int32]

CHUNK_TOKENS = 256  # worked on at once; more would not stay in the processor's caches


class LlamaForward:
    """The model with its cache. ``threads``: of the steps to come, where no ``cores`` say."""

    numerics = Numerics(continued="equivalent", text="equivalent: not checked")
    cores: Cores | None = None

    def __init__(self, config: ModelConfig, weights: Weights, functions: Kernels) -> None:
        self.vocabulary = config.vocabulary
        self.context_length = config.context_length
        self.device = "cpu"
        self.shape = Shape(layers=config.layers, heads=config.kv_heads, size=config.head_size, item_bytes=4)
        self.kernels = functions
        self.most_threads = max(1, config.hidden // PANEL)  # each has a part of the smallest product
        self.threads = 1
        self.cache: RowCache
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
        self._scratch = np.empty(0, np.float32)

    def allocate(self, rows: int, length: int) -> None:
        """Make the cache."""
        self.cache = RowCache(self.shape, rows=rows, length=length)
        numbers = self.cache.numbers
        self._model.cache = address(numbers)
        self._model.row_stride, self._model.layer_stride, self._model.token_stride = (bytes_ // 4 for bytes_ in numbers.strides[:3])

    def release(self, row: int) -> None:
        """Give a row's memory back."""
        self.cache.release(row)

    def copy(self, copy: Copy) -> None:
        """Take over another row's first tokens."""
        self.cache.copy(copy)

    def __call__(self, batch: Batch) -> Floats:
        """Logits, float32 [wanted, vocabulary]. Raises IndexError for an id that the model has no embedding for."""
        if not all(0 <= token < self.vocabulary for token in batch.ids):
            message = f"a token is not among the {self.vocabulary} of the model"
            raise IndexError(message)
        ids, rows, positions = (np.array(numbers, np.int32) for numbers in (batch.ids, batch.rows, batch.positions))
        logits = np.empty((len(batch.wanted), self.vocabulary), np.float32)
        done = 0
        if self.cores:
            self.threads = self.cores.threads()
        for start in range(0, len(ids), CHUNK_TOKENS):
            stop = min(start + CHUNK_TOKENS, len(ids))
            wanted = np.array([place - start for place in batch.wanted if start <= place < stop], np.int32)
            self._step(ids[start:stop], rows[start:stop], positions[start:stop], wanted, logits[done:])
            done += len(wanted)
        return logits

    def choose(self, logits: Floats, sequences: list[Sequence]) -> list[int | None]:
        """The next id of each sequence."""
        return sampler.choose(self.kernels, logits, sequences)

    def log_probabilities(self, row: Floats) -> Floats:
        """Of one row of logits."""
        return self.kernels.log_probabilities(row)

    def _step(self, ids: Whole, rows: Whole, positions: Whole, wanted: Whole, logits: Floats) -> None:
        config, count = self._config, len(ids)
        heads = config.heads + config.kv_heads
        together = count * (2 * config.hidden + 2 * heads * config.head_size + config.feed_forward)
        scores = config.heads // config.kv_heads * (int(positions.max()) + 1 + LANES)
        apart = max(scores, count * max(config.hidden, config.feed_forward, config.heads * config.head_size) // GROUP)
        if len(self._scratch) < together + self.threads * apart:
            self._scratch = np.empty(together + self.threads * apart, np.float32)
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


def _turns(config: ModelConfig, factors: Floats | None) -> Floats:
    """Cosine and sine of each rotary pair, float32 [context, size / 2, 2]."""
    frequencies = 1.0 / config.rope_theta ** (np.arange(0, config.head_size, 2) / config.head_size)
    if factors is not None:
        frequencies = frequencies / factors.astype(np.float64)
    angles = np.arange(config.context_length)[:, None] / config.rope_scaling * frequencies
    return np.stack((np.cos(angles), np.sin(angles)), -1).astype(np.float32)
