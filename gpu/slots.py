"""The slot cache as transformers' modules see it: they hand over new keys and values and get back those of the rows of this call."""

from typing import Any

import msgspec
import torch
from transformers.cache_utils import Cache, CacheLayerMixin

from gpu.cache import RowMemory, Shape
from gpu.prefix_cache import Copy


class SlotCache:
    """``layers[i]`` is [rows, 2 x heads, length, size]: a layer's key heads, then its value heads."""

    def __init__(self, shape: Shape, dtype: torch.dtype, *, rows: int, length: int, device: torch.device) -> None:
        sizes = (rows, shape.layers, 2 * shape.heads, length, shape.size)
        self._memory = RowMemory(rows, shape.token_bytes * length) if device.type == "cpu" else None
        self._all = (
            torch.frombuffer(self._memory.pages, dtype=dtype).view(sizes)
            if self._memory
            else torch.zeros(sizes, dtype=dtype, device=device)
        )
        self.heads = shape.heads
        self.layers = self._all.unbind(1)

    def copy(self, copy: Copy) -> None:
        """Write one row's first tokens into another."""
        self._all[copy.target, ..., : copy.length, :] = self._all[copy.source, ..., : copy.length, :]

    def release(self, row: int) -> None:
        """Give a row's memory back."""
        if self._memory:
            self._memory.release(row)
        else:
            self._all[row].zero_()


class Window(msgspec.Struct, frozen=True):
    """What a call of the model works on: cache rows [rows, 1] and the positions [rows, tokens] of their new tokens.

    ``view``: the same rows as an index; ``length``: how far they look.
    """

    rows: torch.Tensor
    positions: torch.Tensor
    view: slice | torch.Tensor
    length: int


class SlotLayer(CacheLayerMixin):
    """One layer's part of a SlotCache; all layers of a call share its ``window``."""

    window: Window

    def __init__(self, cache: SlotCache, index: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._slots = cache.layers[index]
        self._heads = cache.heads
        self.is_initialized = True

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Made whole from the start."""

    def update(self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """Write [rows, heads, tokens, size], return the window's keys and values."""
        window = self.window
        self._slots[window.rows, :, window.positions] = torch.cat((key_states, value_states), 1).transpose(1, 2)
        seen = self._slots[window.view, :, : window.length]
        return seen[:, : self._heads], seen[:, self._heads :]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:  # noqa: ARG002 - transformers' interface
        """What the mask has to cover."""
        return self.window.length, 0

    def get_seq_length(self) -> int:
        """The longest row of the window without its new tokens."""
        return self.window.length - 1

    def get_max_length(self) -> int:
        """No limit that the model has to know."""
        return -1


class SlotView(Cache):
    """All layers of a SlotCache."""

    def __init__(self, cache: SlotCache) -> None:
        self.slots = [SlotLayer(cache, index) for index in range(len(cache.layers))]
        super().__init__(layers=list(self.slots))

    def look(self, window: Window) -> None:
        """Set what the next call of the model works on."""
        for layer in self.slots:
            layer.window = window
