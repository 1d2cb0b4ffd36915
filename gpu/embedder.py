"""The embedder: texts asked for on an event loop, embedded on a thread of its own, whoever asked for them in one batch.

It is loaded when the first text comes: until then it costs nothing.
"""

import asyncio
import threading
from collections.abc import Callable, Sequence

import msgspec
from tokenizers import Tokenizer

from core.errors import BadRequest, ContextTooLong, PenstockError, Unavailable
from core.logging import get_logger
from core.models.pulls import MODELS_FOLDER
from core.settings import Settings
from gpu import devices
from gpu.batch_queue import BatchQueue, EmbedRequest, Text, group_by_request
from gpu.bert import BertConfig, BertEncoder, Vectors
from gpu.cores import Cores
from gpu.device_lock import DeviceLock
from gpu.engine import OWNER
from gpu.kernels import KernelsMissing, compiled, targets
from gpu.marks import renamed
from gpu.sources import ModelSource

CPU_TOKENS = 512  # more are hardly faster, and a question would wait longer for them
CUDA_TOKENS = 65_536

log = get_logger()


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """``sentence_bert_config.json``: how many tokens the model was made for, the special ones at both ends counted."""

    max_seq_length: int


class Embedder:
    """One embedding model."""

    def __init__(self, source: ModelSource, settings: Settings, *, device_lock: DeviceLock, threads: int | None = None) -> None:
        self.model_id = source.id
        self.created = source.created
        self.owned_by = OWNER
        self.context_length = msgspec.json.decode((source.path / "sentence_bert_config.json").read_bytes(), type=Limits).max_seq_length
        self._config = msgspec.json.decode((source.path / "config.json").read_bytes(), type=BertConfig)
        self.dimensions = self._config.hidden_size
        self._folder = source.path
        self._kernels = settings.data_dir / MODELS_FOLDER
        self._device = devices.choose(settings.device)
        self._threads = threads
        self._device_lock = device_lock
        self._texts = BatchQueue(budget=CPU_TOKENS if self._device == devices.CPU else CUDA_TOKENS)
        self._changed = threading.Condition()
        self._closed = False
        self._opening = threading.Lock()
        self._tokenizer: Tokenizer | None = None
        self._encoder: Callable[[list[list[int]]], Vectors] | None = None
        self._thread: threading.Thread | None = None

    async def embed(self, inputs: Sequence[str | list[int]]) -> tuple[bytes, int]:
        """The inputs' vectors, float32 [inputs, dimensions] row after row, and how many tokens they were.

        One input is taken for a question, and goes before those of many. Raises ContextTooLong and BadRequest before anything is queued.
        """
        order = EmbedRequest(await asyncio.to_thread(self._read, inputs))
        self._submit(order)
        await order.done
        return b"".join(order.rows), sum(map(len, order.texts))

    def close(self) -> None:
        """Stop after the batch that is made now."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread:
            self._thread.join()

    def _submit(self, order: EmbedRequest) -> None:
        with self._changed:
            if self._closed:
                raise _closing()
            if self._thread is None:
                self._thread = threading.Thread(target=self._serve, name=f"embedder-{self.model_id}", daemon=True)
                self._thread.start()
            self._texts.add(order)
            self._changed.notify()

    def _serve(self) -> None:
        while batch := self._take():
            self._make(batch)
        for order in group_by_request(self._texts.drain()):
            order.deliver(_closing())

    def _take(self) -> list[Text]:
        """The next batch, waiting for one; empty: the end."""
        with self._changed:
            while not self._closed:
                batch = self._texts.take()
                if batch:
                    return batch
                self._changed.wait()
            return []

    def _make(self, batch: list[Text]) -> None:
        """A batch that fails is repeated one text at a time, so that a bad one fails alone."""
        try:
            with self._device_lock.take():
                self._encoder = self._encoder or self._loaded()
                vectors = self._encoder([text.ids for text in batch]).astype("<f4", copy=False)
        except Exception as error:  # noqa: BLE001 - whatever it was, it must not end the others
            if len(batch) == 1:
                log.error("embedding failed", error=f"{type(error).__name__}: {error}")  # noqa: TRY400 - a text must not get into the log
                batch[0].order.deliver(_failed())
                return
            for text in batch:
                self._make([text])
            return
        for order, indexes in group_by_request(batch).items():
            order.deliver([(batch[index].place, vectors[index].tobytes()) for index in indexes])

    def _loaded(self) -> Callable[[list[list[int]]], Vectors]:
        least = devices.threads(self._threads)
        if self._device == devices.CPU:
            try:
                functions = compiled(self._kernels, targets()[0], lambda line: log.info("loading", step=line))
                return BertEncoder(self._folder, functions, Cores(least=least, most=self._threads or devices.cores()))
            except KernelsMissing as error:
                log.warning("loading", step=f"{error.detail} {self.model_id} is computed by torch, slower")
        from gpu.torch_bert import TorchBertEncoder  # noqa: PLC0415 - torch takes seconds and 470 MB

        return TorchBertEncoder(self._folder, self._device, least)

    def _read(self, inputs: Sequence[str | list[int]]) -> list[list[int]]:
        """The ids of each input, with the special tokens at both ends."""
        tokenizer = self._opened()
        texts = iter(tokenizer.encode_batch([given for given in inputs if isinstance(given, str)]))
        read = [next(texts).ids if isinstance(given, str) else self._framed(tokenizer, given, place) for place, given in enumerate(inputs)]
        for place, ids in enumerate(read):
            if len(ids) > self.context_length:
                message = (
                    f"This model's maximum context length is {self.context_length} tokens. However, input[{place}] resulted in {len(ids)} "
                    "tokens, the special ones at both ends counted. Please cut it into shorter pieces."
                )
                raise ContextTooLong(message, param="input")
        return read

    def _framed(self, tokenizer: Tokenizer, given: list[int], place: int) -> list[int]:
        stranger = next((token for token in given if token >= self._config.vocab_size), None)
        if stranger is not None:
            message = f"input[{place}]: {stranger} is not a token of this model; ids run from 0 to {self._config.vocab_size - 1}."
            raise BadRequest(message, param="input")
        first, last = tokenizer.encode("").ids
        return [first, *given, last]

    def _opened(self) -> Tokenizer:
        with self._opening:
            if self._tokenizer is None:
                tokenizer = renamed(Tokenizer.from_file(str(self._folder / "tokenizer.json")))
                tokenizer.no_truncation()
                tokenizer.no_padding()
                self._tokenizer = tokenizer
            return self._tokenizer


def _failed() -> PenstockError:
    return PenstockError("The embedding model failed on this request. Ask again; if it happens again, the worker's log says why.")


def _closing() -> Unavailable:
    return Unavailable("This worker is stopping. Ask again.", retry_after=1)
