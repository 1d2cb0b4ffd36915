"""Keys and values of the running requests: one row a request, each a stretch of memory that is only touched as far as it is used."""

import mmap

import msgspec
import torch

from gpu.prefixes import Copy

NO_RESERVE = 0x4000  # Linux's MAP_NORESERVE: address space for every row's longest answer, memory only for what is written


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """What a model keeps of every token: in each layer, ``heads`` keys and as many values of ``size`` numbers."""

    layers: int
    heads: int
    size: int
    dtype: torch.dtype

    @property
    def token_bytes(self) -> int:
        """Memory that one token takes."""
        return self.layers * 2 * self.heads * self.size * self.dtype.itemsize


class SlotCache:
    """``layers[i]`` is [rows, 2 x heads, length, size]: a layer's key heads, then its value heads.

    In memory a token's heads are neighbours (``tokens[i]`` is [rows, length, 2 x heads, size]): a new token touches one page a layer.
    """

    def __init__(self, shape: Shape, *, rows: int, length: int, device: torch.device) -> None:
        sizes = (rows, shape.layers, length, 2 * shape.heads, shape.size)
        self._row_bytes = shape.token_bytes * length
        self._memory: mmap.mmap | None = None
        if device.type == "cpu":
            self._memory = mmap.mmap(-1, rows * self._row_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | NO_RESERVE)
            self._memory.madvise(mmap.MADV_NOHUGEPAGE)
            self._all = torch.frombuffer(self._memory, dtype=shape.dtype).view(sizes)
        else:
            self._all = torch.zeros(sizes, dtype=shape.dtype, device=device)
        self.heads = shape.heads
        self.tokens = self._all.unbind(1)
        self.layers = [tokens.transpose(1, 2) for tokens in self.tokens]

    def seen(self, start: int, stop: int, length: int) -> tuple[tuple[torch.Tensor, ...], tuple[torch.Tensor, ...]]:
        """The first ``length`` keys and values of some rows: of each layer [rows, heads, length, size]."""
        both = self._all[start:stop, :, :length].transpose(2, 3)
        return both[:, :, : self.heads].unbind(1), both[:, :, self.heads :].unbind(1)

    def copy(self, copy: Copy) -> None:
        """Write one row's first tokens into another."""
        self._all[copy.target, :, : copy.length] = self._all[copy.source, :, : copy.length]

    def release(self, row: int) -> None:
        """Give a row's memory back; it reads as zeros again."""
        if self._memory is None:
            self._all[row].zero_()
            return
        start = -(-row * self._row_bytes // mmap.PAGESIZE) * mmap.PAGESIZE
        stop = (row + 1) * self._row_bytes // mmap.PAGESIZE * mmap.PAGESIZE
        if stop > start:
            self._memory.madvise(mmap.MADV_DONTNEED, start, stop - start)
