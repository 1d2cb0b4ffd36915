"""Keys and values of the running requests: one row a request, each a contiguous stretch of memory that is only touched as far as it is used."""

import mmap

import torch

NO_RESERVE = 0x4000  # Linux's MAP_NORESERVE: address space for every row's longest answer, memory only for what is written


class SlotCache:
    """``layers[i]`` is [rows, 2 x heads, length, size]: a layer's key heads, then its value heads."""

    def __init__(self, *, layers: int, heads: int, size: int, rows: int, length: int, dtype: torch.dtype, device: torch.device) -> None:
        shape = (rows, layers, 2 * heads, length, size)
        self._row_bytes = layers * 2 * heads * length * size * dtype.itemsize
        self._memory: mmap.mmap | None = None
        if device.type == "cpu":
            self._memory = mmap.mmap(-1, rows * self._row_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | NO_RESERVE)
            self._memory.madvise(mmap.MADV_NOHUGEPAGE)
            everything = torch.frombuffer(self._memory, dtype=dtype).view(shape)
        else:
            everything = torch.zeros(shape, dtype=dtype, device=device)
        self.layers = [everything[:, layer] for layer in range(layers)]
        self.keys = [layer[:, :heads] for layer in self.layers]
        self.values = [layer[:, heads:] for layer in self.layers]

    def release(self, row: int) -> None:
        """Give a row's memory back; it reads as zeros again."""
        if self._memory is None:
            return
        start = -(-row * self._row_bytes // mmap.PAGESIZE) * mmap.PAGESIZE
        stop = (row + 1) * self._row_bytes // mmap.PAGESIZE * mmap.PAGESIZE
        if stop > start:
            self._memory.madvise(mmap.MADV_DONTNEED, start, stop - start)
