"""A safetensors file's tensors, mapped into memory: pages are read when they are used, and processes share them."""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

TYPES: dict[str, Any] = {"U8": np.uint8, "F16": np.float16, "F32": np.float32, "I64": np.int64}
LENGTH_BYTES = 8  # how long the header is, at the file's beginning (safetensors' format)

Weights = dict[str, npt.NDArray[Any]]


class _Place(msgspec.Struct, frozen=True):
    """A tensor in the header."""

    dtype: str
    shape: tuple[int, ...]
    data_offsets: tuple[int, int]


def map_tensors(path: Path) -> tuple[dict[str, str], Weights]:
    """What a file says about itself, and its tensors; none of types that numpy has not."""
    whole = np.memmap(path, np.uint8, mode="r")
    begin = LENGTH_BYTES + int.from_bytes(whole[:LENGTH_BYTES].tobytes(), "little")
    header = msgspec.json.decode(whole[LENGTH_BYTES:begin].tobytes(), type=dict[str, msgspec.Raw])
    about = msgspec.json.decode(header.pop("__metadata__", b"{}"), type=dict[str, str])
    weights: Weights = {}
    for name, raw in header.items():
        place = msgspec.json.decode(raw, type=_Place)
        if place.dtype in TYPES:
            start, stop = (begin + offset for offset in place.data_offsets)
            weights[name] = whole[start:stop].view(TYPES[place.dtype]).reshape(place.shape)
    return about, weights
