"""A BERT encoder's matrices in bfloat16, as gpu/bert_bfloat16.c reads them."""

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from gpu.kernels import address

EDGE, DEEP, SIDE = 16, 32, 32  # as in bfloat16.h
PRODUCTS = ("query", "key", "value", "output", "up", "down")
LINE = 64  # bytes that a processor reads at once

Floats = npt.NDArray[np.float32]


class _Packed(ctypes.Structure):
    """``Packed`` of bert.h."""

    _fields_ = (("weight", ctypes.c_void_p), ("bias", ctypes.c_void_p))


class _Layer(ctypes.Structure):
    """``PackedLayer`` of bert.h."""

    _fields_ = tuple((name, _Packed) for name in PRODUCTS)


class PackedEncoder(ctypes.Structure):
    """``PackedEncoder`` of bert.h."""

    _fields_ = (
        ("layers", ctypes.POINTER(_Layer)),
        *((name, ctypes.c_int32) for name in ("hidden", "size", "feed_forward")),
        ("factor", ctypes.c_float),
    )


class PackedWeights:
    """All layers' matrices: half of what they are in float32. ``structure`` points at them as long as this lives."""

    def __init__(self, read: Callable[[int, str], tuple[Floats, Floats]], *, layers: int, hidden: int, heads: int, inner: int) -> None:
        """``read``: a layer's weight [rows, columns] and bias [rows] of one of PRODUCTS."""
        self._kept: list[npt.NDArray[Any]] = []
        self._heads = heads
        self._hidden = hidden
        self._size = hidden // heads
        width, hidden_padded = heads * padded(self._size), padded(hidden)
        self._left = aligned(layers * hidden_padded * (4 * width + 2 * padded(inner)), np.uint16)  # in one piece: pages may be large
        self._layers = (_Layer * layers)(
            *(_Layer(**{name: self._pack(name, *read(layer, name)) for name in PRODUCTS}) for layer in range(layers))
        )
        self.structure = PackedEncoder(
            layers=self._layers, hidden=padded(hidden), size=padded(self._size), feed_forward=padded(inner), factor=self._size**-0.5
        )

    def floats(self, tokens: int, longest: int) -> tuple[int, int]:
        """How much memory texts need that all threads share, and each thread beside it, in numbers of four bytes."""
        size = self.structure.size
        pairs = (self.structure.hidden + 4 * self._heads * size + self.structure.feed_forward) // 2
        return padded(tokens) * (self._hidden + pairs), padded(longest) * (size + 3 * SIDE // 2) + EDGE * size

    def _pack(self, name: str, weight: Floats, bias: Floats) -> _Packed:
        if name in {"query", "key", "value"}:
            weight, bias = self._pad_heads(weight), self._pad_heads(bias)
        elif name == "output":
            weight = self._pad_heads(weight.T).T
        rows, columns = map(padded, weight.shape)
        tiles = self._left[: rows * columns].reshape(rows // EDGE, columns // DEEP, EDGE, DEEP)
        self._left = self._left[rows * columns :]
        whole = np.zeros((rows, columns), np.uint16)
        whole[: weight.shape[0], : weight.shape[1]] = to_bfloat16(weight)
        tiles[:] = whole.reshape(rows // EDGE, EDGE, columns // DEEP, DEEP).swapaxes(1, 2)
        biases = np.pad(bias, (0, rows - len(bias)))
        self._kept += tiles, biases
        return _Packed(address(tiles), address(biases))

    def _pad_heads(self, rows: Floats) -> Floats:
        """Each head's rows, with zeros behind them."""
        apart = rows.reshape(self._heads, self._size, -1)
        return np.pad(apart, ((0, 0), (0, -self._size % SIDE), (0, 0))).reshape(-1, *rows.shape[1:])


def padded(count: int) -> int:
    """Whole tiles."""
    return -(-count // SIDE) * SIDE


def to_bfloat16(numbers: Floats) -> npt.NDArray[np.uint16]:
    """The upper halves of finite numbers, rounded to the nearest, halves to even."""
    bits = np.ascontiguousarray(numbers).view(np.uint32)
    return ((bits + (0x7FFF + (bits >> 16 & 1))) >> 16).astype(np.uint16)


def aligned(count: int, kind: type[np.generic]) -> npt.NDArray[Any]:
    """Room for so many numbers that begins where a line of memory does: a vector's or a tile's row is then never in two."""
    size = np.dtype(kind).itemsize
    whole = np.empty(count + LINE // size, kind)
    begin = -address(whole) % LINE // size
    return whole[begin : begin + count]
