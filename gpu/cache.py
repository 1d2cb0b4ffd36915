"""Keys and values of the running requests: one row a request, each a stretch of memory that is only touched as far as it is used."""

import mmap

import msgspec
import numpy as np

from gpu.prefix_cache import Copy

NO_RESERVE = 0x4000  # Linux's MAP_NORESERVE: address space for every row's longest answer, memory only for what is written


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """What a model keeps of every token: in each layer, ``heads`` keys and as many values of ``size`` numbers of ``item_bytes``."""

    layers: int
    heads: int
    size: int
    item_bytes: int

    @property
    def token_bytes(self) -> int:
        """Memory that one token takes."""
        return self.layers * 2 * self.heads * self.size * self.item_bytes


class RowMemory:
    """Rows of one size, in memory that a row that is released gives back."""

    def __init__(self, rows: int, row_bytes: int) -> None:
        self._row_bytes = row_bytes
        self.pages = mmap.mmap(-1, rows * row_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | NO_RESERVE)
        self.pages.madvise(mmap.MADV_NOHUGEPAGE)

    def release(self, row: int) -> None:
        """Give a row's memory back; it reads as zeros again, but for what shares a page with a neighbour."""
        start = -(-row * self._row_bytes // mmap.PAGESIZE) * mmap.PAGESIZE
        stop = (row + 1) * self._row_bytes // mmap.PAGESIZE * mmap.PAGESIZE
        if stop > start:
            self.pages.madvise(mmap.MADV_DONTNEED, start, stop - start)


class RowCache:
    """``numbers``: float32 [rows, layers, length, 2 x heads, size], a token's key heads before its value heads."""

    def __init__(self, shape: Shape, *, rows: int, length: int) -> None:
        self._memory = RowMemory(rows, shape.token_bytes * length)
        self.numbers = np.frombuffer(self._memory.pages, np.float32).reshape(rows, shape.layers, length, 2 * shape.heads, shape.size)

    def copy(self, copy: Copy) -> None:
        """Write one row's first tokens into another."""
        self.numbers[copy.target, :, : copy.length] = self.numbers[copy.source, :, : copy.length]

    def release(self, row: int) -> None:
        """Give a row's memory back."""
        self._memory.release(row)
