"""A BERT encoder's forward pass on our own kernels (gpu/bert.c): ids to one vector each, as sentence-transformers' folders describe it.

A text's vector has the same bits whatever is beside it, on any number of threads, on any processor; in bfloat16 (gpu/bert_bfloat16.c) on
any that multiplies it in the same way.
"""

import ctypes
from collections.abc import Callable, Generator
from functools import partial
from pathlib import Path
from typing import Protocol

import msgspec
import numpy as np
import numpy.typing as npt

from core.errors import SettingsError
from gpu.bert_bfloat16 import PackedEncoder, PackedWeights, aligned
from gpu.kernels import Kernels, Way, address
from gpu.mapped import map_tensors

TOKENS, ROWS = 32, 8  # the most that bert.c has
LAYER = {
    "query": "attention.self.query",
    "key": "attention.self.key",
    "value": "attention.self.value",
    "output": "attention.output.dense",
    "attention_norm": "attention.output.LayerNorm",
    "up": "intermediate.dense",
    "down": "output.dense",
    "norm": "output.LayerNorm",
}

Vectors = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int32]


Pieces = Generator[None, None, Vectors]


class Encoder(Protocol):
    """Ids to vectors, at once or a layer at a time."""

    def __call__(self, texts: list[list[int]]) -> Vectors:
        """Vectors of length 1, float32 [texts, hidden]. ``texts`` are whole, with the special tokens at their ends."""

    def pieces(self, texts: list[list[int]]) -> Pieces:
        """The same in pieces of about one length: it waits after each but the last, and returns the vectors."""


class BertConfig(msgspec.Struct, frozen=True, kw_only=True):
    """``config.json``."""

    architectures: tuple[str, ...]
    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    hidden_act: str
    layer_norm_eps: float
    vocab_size: int
    max_position_embeddings: int
    type_vocab_size: int = 2
    pad_token_id: int = 0
    position_embedding_type: str = "absolute"


class Pooling(msgspec.Struct, frozen=True, kw_only=True):
    """``1_Pooling/config.json``."""

    pooling_mode_mean_tokens: bool = False
    pooling_mode_cls_token: bool = False
    pooling_mode_max_tokens: bool = False
    pooling_mode_mean_sqrt_len_tokens: bool = False

    @property
    def is_mean(self) -> bool:
        """The mean of all tokens, and nothing beside it."""
        return self == Pooling(pooling_mode_mean_tokens=True)


def read_config(folder: Path) -> BertConfig:
    """A folder's ``config.json``. Raises SettingsError for a model of another kind."""
    config = msgspec.json.decode((folder / "config.json").read_bytes(), type=BertConfig)
    pooling = msgspec.json.decode((folder / "1_Pooling" / "config.json").read_bytes(), type=Pooling)
    is_known = config.architectures == ("BertModel",) and config.hidden_act == "gelu" and config.position_embedding_type == "absolute"
    if not is_known or not pooling.is_mean:
        message = f"{folder} is no BERT whose tokens' mean is the text's vector."
        raise SettingsError(message)
    return config


class _Affine(ctypes.Structure):
    """``Affine`` of bert.h."""

    _fields_ = (("weight", ctypes.c_void_p), ("bias", ctypes.c_void_p))


class _Layer(ctypes.Structure):
    """``EncoderLayer`` of bert.h."""

    _fields_ = tuple((name, _Affine) for name in LAYER)


class _Encoder(ctypes.Structure):
    """``Encoder`` of bert.h."""

    _fields_ = (
        ("layers", ctypes.POINTER(_Layer)),
        *((name, ctypes.c_void_p) for name in ("words", "positions", "kind")),
        ("norm", _Affine),
        *((name, ctypes.c_int32) for name in ("layer_count", "hidden", "heads", "feed_forward")),
        ("epsilon", ctypes.c_float),
    )


class _Texts(ctypes.Structure):
    """``Texts`` of bert.h."""

    _fields_ = (
        ("encoder", ctypes.POINTER(_Encoder)),
        *((name, ctypes.c_int32) for name in ("text_count", "from_layer", "to_layer")),
        *((name, ctypes.c_void_p) for name in ("ids", "starts", "vectors", "scratch")),
        ("scratch_floats", ctypes.c_int64),
        ("packed", ctypes.POINTER(PackedEncoder)),
    )


class BertEncoder:
    """The model on a CPU. Its weights stay in their file, which is mapped; ways of bfloat16 keep a copy of their own.

    ``way``: how its products are computed, float32 until something else is chosen.
    """

    def __init__(self, folder: Path, functions: Kernels, threads: int) -> None:
        """``threads``: to compute with. Raises SettingsError for a model of another kind."""
        config = read_config(folder)
        self._folder = folder
        self._functions = functions
        self._threads = threads
        _, self._weights = map_tensors(folder / "model.safetensors")  # kept as long as the model points at them
        hidden, inner = config.hidden_size, len(self._weights.get("encoder.layer.0.intermediate.dense.bias", ()))
        if any(number % ROWS for number in (inner, hidden // config.num_attention_heads)) or hidden % config.num_attention_heads:
            message = f"{folder}: its heads and its feed-forward must be multiples of {ROWS} numbers."
            raise SettingsError(message)
        shapes = {"up": (inner, hidden), "down": (hidden, inner), "attention_norm": (hidden,), "norm": (hidden,)}
        self._layers = (_Layer * config.num_hidden_layers)(
            *(
                _Layer(
                    **{
                        part: self._affine(f"encoder.layer.{layer}.{name}", *shapes.get(part, (hidden, hidden)))
                        for part, name in LAYER.items()
                    }
                )
                for layer in range(config.num_hidden_layers)
            )
        )
        self._words, self._positions = config.vocab_size, config.max_position_embeddings
        self._encoder = _Encoder(
            layers=self._layers,
            words=self._at("embeddings.word_embeddings.weight", config.vocab_size, hidden),
            positions=self._at("embeddings.position_embeddings.weight", self._positions, hidden),
            kind=self._at("embeddings.token_type_embeddings.weight", config.type_vocab_size, hidden),
            norm=self._affine("embeddings.LayerNorm", hidden),
            layer_count=config.num_hidden_layers,
            hidden=hidden,
            heads=config.num_attention_heads,
            feed_forward=inner,
            epsilon=config.layer_norm_eps,
        )
        self.ways = functions.ways
        self.way = Way.FLOAT32
        self._packed: PackedWeights | None = None

    def choose(self, way: Way) -> None:
        """Compute in one of ``ways`` from now on; what is under way goes on as it was begun."""
        if way is Way.FLOAT32:
            self._packed = None
        elif self._packed is None:
            encoder = self._encoder
            self._packed = PackedWeights(
                self._read, layers=encoder.layer_count, hidden=encoder.hidden, heads=encoder.heads, inner=encoder.feed_forward
            )
        self.way = way

    def __call__(self, texts: list[list[int]], threads: int | None = None) -> Vectors:
        """Raises ValueError for ids and lengths that the model has not."""
        work = self._prepare(texts, threads)
        work.compute(0, self._encoder.layer_count)
        return work.vectors

    def pieces(self, texts: list[list[int]]) -> Pieces:
        """A layer at a time. Raises ValueError for ids and lengths that the model has not."""
        work = self._prepare(texts)
        for layer in range(self._encoder.layer_count):
            if layer:
                yield
            work.compute(layer, layer + 1)
        return work.vectors

    def _prepare(self, texts: list[list[int]], threads: int | None = None) -> "_Work":
        lengths = list(map(len, texts))
        starts = np.cumsum([0, *lengths], dtype=np.int32)
        ids = np.fromiter((token for text in texts for token in text), np.int32, starts[-1])
        if not (min(lengths) > 0 and max(lengths) <= self._positions and ids.min() >= 0 and ids.max() < self._words):
            message = "no texts of this model"
            raise ValueError(message)
        threads = threads or self._threads
        if self._packed:
            return _Work(partial(self._functions.embed_bfloat16, self.way, threads), self._encoder, self._packed, threads, ids, starts)
        return _Work(partial(self._functions.embed, threads), self._encoder, None, threads, ids, starts)

    def _read(self, layer: int, part: str) -> tuple[Vectors, Vectors]:
        """Weight and bias of a product, whose shapes have been looked at."""
        name = f"encoder.layer.{layer}.{LAYER[part]}"
        return self._weights[f"{name}.weight"], self._weights[f"{name}.bias"]

    def _affine(self, name: str, *shape: int) -> _Affine:
        return _Affine(self._at(f"{name}.weight", *shape), self._at(f"{name}.bias", shape[0]))

    def _at(self, name: str, *shape: int) -> int:
        """Where a tensor's numbers begin."""
        tensor = self._weights.get(name)
        if tensor is None or tensor.dtype != np.float32 or tensor.shape != shape:
            message = f"{self._folder}: {name} must be {' x '.join(map(str, shape))} numbers of float32."
            raise SettingsError(message)
        return address(tensor)


class _Work:
    """Texts on their way through the layers, and the memory that they need there."""

    def __init__(
        self, embed: Callable[[ctypes.Structure], None], model: _Encoder, packed: PackedWeights | None, threads: int, ids: Ids, starts: Ids
    ) -> None:
        longest = int(np.diff(starts).max())
        if packed:
            together, apart = packed.floats(len(ids), longest)
        else:
            together = -(-len(ids) // TOKENS) * TOKENS * (5 * model.hidden + model.feed_forward)
            apart = (longest + 2 * ROWS) * TOKENS
        self.vectors = np.empty((len(starts) - 1, model.hidden), np.float32)
        self._embed = embed
        self._kept = ids, starts, aligned(together + threads * apart, np.float32)  # as long as the structure points at them
        self._packed = packed  # likewise
        self._texts = _Texts(
            encoder=ctypes.pointer(model),
            text_count=len(self.vectors),
            vectors=address(self.vectors),
            scratch_floats=apart,
            packed=ctypes.pointer(packed.structure) if packed else None,
            **{name: address(numbers) for name, numbers in zip(("ids", "starts", "scratch"), self._kept, strict=True)},
        )

    def compute(self, from_layer: int, to_layer: int) -> None:
        """These layers, after those before them."""
        self._texts.from_layer, self._texts.to_layer = from_layer, to_layer
        self._embed(self._texts)
