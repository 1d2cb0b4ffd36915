"""Texts to ids, as an embedding model reads them: what is long is read a part at a time, by turns with whatever else uses the processor."""

import asyncio
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from tokenizers import Tokenizer

from core.errors import BadRequest, ContextTooLong
from gpu.device_lock import DeviceLock
from gpu.marks import rename_marks
from gpu.shares import Share

PART = 4096  # characters, and ids; some milliseconds

Input = str | list[int]


class TextReader:
    """``folder``: a model's with its ``tokenizer.json``, which is opened with the first text. ``device_lock``: the processor's."""

    def __init__(self, folder: Path, *, vocabulary: int, context_length: int, device_lock: DeviceLock | None) -> None:
        self._folder = folder
        self._vocabulary = vocabulary
        self._context_length = context_length
        self._take: Callable[[], AbstractContextManager[object]] = device_lock.seat(self._wants).take if device_lock else nullcontext
        self._is_reading = False
        self._thread = ThreadPoolExecutor(1, "text-reader")
        self._opening = threading.Lock()
        self._tokenizer: Tokenizer | None = None

    async def read(self, inputs: Sequence[Input], *, by_turns: bool) -> list[list[int]]:
        """The ids of each input, with the special tokens at both ends. Raises ContextTooLong and BadRequest.

        ``by_turns``: one request after the other, in nobody's way.
        """
        if not by_turns:
            return await asyncio.to_thread(self.ids, inputs)
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._read, inputs)

    def close(self) -> None:
        """Nothing more is read; what has been asked is read to its end."""
        self._thread.shutdown(wait=False)

    def ids(self, inputs: Sequence[Input], first: int = 0) -> list[list[int]]:
        """Inputs ``first`` and following of a request."""
        tokenizer = self._open()
        texts = iter(tokenizer.encode_batch([given for given in inputs if isinstance(given, str)]))
        read = [
            next(texts).ids if isinstance(given, str) else self._frame(tokenizer, given, place) for place, given in enumerate(inputs, first)
        ]
        for place, ids in enumerate(read, first):
            if len(ids) > self._context_length:
                message = (
                    f"This model's maximum context length is {self._context_length} tokens. However, input[{place}] resulted in {len(ids)} "
                    "tokens, the special ones at both ends counted. Please cut it into shorter pieces."
                )
                raise ContextTooLong(message, param="input")
        return read

    def _wants(self) -> Collection[Share]:
        return (Share.BULK,) if self._is_reading else ()

    def _read(self, inputs: Sequence[Input]) -> list[list[int]]:
        read: list[list[int]] = []
        self._open()  # nobody should wait for that
        self._is_reading = True
        try:
            for part in _parts(inputs):
                with self._take():
                    read += self.ids(part, len(read))
        finally:
            self._is_reading = False
        return read

    def _frame(self, tokenizer: Tokenizer, given: list[int], place: int) -> list[int]:
        stranger = next((token for token in given if token >= self._vocabulary), None)
        if stranger is not None:
            message = f"input[{place}]: {stranger} is not a token of this model; ids run from 0 to {self._vocabulary - 1}."
            raise BadRequest(message, param="input")
        first, last = tokenizer.encode("").ids
        return [first, *given, last]

    def _open(self) -> Tokenizer:
        with self._opening:
            if self._tokenizer is None:
                tokenizer = rename_marks(Tokenizer.from_file(str(self._folder / "tokenizer.json")))
                tokenizer.no_truncation()
                tokenizer.no_padding()
                self._tokenizer = tokenizer
            return self._tokenizer


def _parts(inputs: Sequence[Input]) -> Iterator[Sequence[Input]]:
    """Neighbours of at most PART together, one at least."""
    start = size = 0
    for place, given in enumerate(inputs):
        if place > start and size + len(given) > PART:
            yield inputs[start:place]
            start, size = place, 0
        size += len(given)
    yield inputs[start:]
