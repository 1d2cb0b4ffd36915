"""A BERT encoder's forward pass on our own kernels (gpu/bert.c): ids to one vector each, as sentence-transformers' folders describe it.

A text's vector has the same bits whatever is beside it, on any number of threads, on any processor.
"""

import ctypes
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from core.errors import SettingsError
from gpu.cores import Cores
from gpu.kernels import Kernels, address
from gpu.mapped import mapped

TOKENS, ROWS = 32, 8  # as in bert.c
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


def configured(folder: Path) -> BertConfig:
    """A folder's ``config.json``. Raises SettingsError for a model of another kind."""
    config = msgspec.json.decode((folder / "config.json").read_bytes(), type=BertConfig)
    pooling = msgspec.json.decode((folder / "1_Pooling" / "config.json").read_bytes(), type=Pooling)
    is_known = config.architectures == ("BertModel",) and config.hidden_act == "gelu" and config.position_embedding_type == "absolute"
    if not is_known or not pooling.is_mean:
        message = f"{folder} is no BERT whose tokens' mean is the text's vector."
        raise SettingsError(message)
    return config


class _Affine(ctypes.Structure):
    """``Affine`` of bert.c."""

    _fields_ = (("weight", ctypes.c_void_p), ("bias", ctypes.c_void_p))


class _Layer(ctypes.Structure):
    """``EncoderLayer`` of bert.c."""

    _fields_ = tuple((name, _Affine) for name in LAYER)


class _Encoder(ctypes.Structure):
    """``Encoder`` of bert.c."""

    _fields_ = (
        ("layers", ctypes.POINTER(_Layer)),
        *((name, ctypes.c_void_p) for name in ("words", "positions", "kind")),
        ("norm", _Affine),
        *((name, ctypes.c_int32) for name in ("layer_count", "hidden", "heads", "feed_forward")),
        ("epsilon", ctypes.c_float),
    )


class _Texts(ctypes.Structure):
    """``Texts`` of bert.c."""

    _fields_ = (
        ("encoder", ctypes.POINTER(_Encoder)),
        ("text_count", ctypes.c_int32),
        *((name, ctypes.c_void_p) for name in ("ids", "starts", "vectors", "scratch")),
        ("scratch_floats", ctypes.c_int64),
    )


class BertEncoder:
    """The model on a CPU, float32. Its weights stay in their file, which is mapped."""

    def __init__(self, folder: Path, functions: Kernels, cores: Cores) -> None:
        """Raises SettingsError for a model of another kind."""
        config = configured(folder)
        self._folder = folder
        self._functions = functions
        self._cores = cores
        _, self._weights = mapped(folder / "model.safetensors")  # kept as long as the model points at them
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

    def __call__(self, texts: list[list[int]]) -> Vectors:
        """Vectors of length 1, float32 [texts, hidden]. ``texts`` are whole, with the special tokens at their ends.

        Raises ValueError for ids and lengths that the model has not.
        """
        lengths = list(map(len, texts))
        starts = np.cumsum([0, *lengths], dtype=np.int32)
        ids = np.fromiter((token for text in texts for token in text), np.int32, starts[-1])
        if not (min(lengths) > 0 and max(lengths) <= self._positions and ids.min() >= 0 and ids.max() < self._words):
            message = "no texts of this model"
            raise ValueError(message)
        model, threads = self._encoder, self._cores.threads()
        vectors = np.empty((len(texts), model.hidden), np.float32)
        together = -(-len(ids) // TOKENS) * TOKENS * (5 * model.hidden + model.feed_forward)
        apart = (max(lengths) + 2 * ROWS) * TOKENS
        scratch = np.empty(together + threads * apart, np.float32)
        self._functions.embed(
            _Texts(
                encoder=ctypes.pointer(model),
                text_count=len(texts),
                ids=address(ids),
                starts=address(starts),
                vectors=address(vectors),
                scratch=address(scratch),
                scratch_floats=apart,
            ),
            threads,
        )
        return vectors

    def _affine(self, name: str, *shape: int) -> _Affine:
        return _Affine(self._at(f"{name}.weight", *shape), self._at(f"{name}.bias", shape[0]))

    def _at(self, name: str, *shape: int) -> int:
        """Where a tensor's numbers begin."""
        tensor = self._weights.get(name)
        if tensor is None or tensor.dtype != np.float32 or tensor.shape != shape:
            message = f"{self._folder}: {name} must be {' x '.join(map(str, shape))} numbers of float32."
            raise SettingsError(message)
        return address(tensor)
