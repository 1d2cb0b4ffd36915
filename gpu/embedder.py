"""The embedder: texts asked for on an event loop, embedded on a thread of its own, whoever asked for them in one batch.

It is loaded when the first text comes: until then it costs nothing.
"""

from collections.abc import Callable, Mapping, Sequence

import msgspec

from core.logging import get_logger
from core.models.embeddings import EmbeddingDtype
from core.models.pulls import MODELS_FOLDER
from core.settings import Settings
from gpu import devices
from gpu.batch_queue import QUERY_TOKENS, BatchQueue, EmbedRequest, EmbedShare
from gpu.bert import BertConfig, BertEncoder, Encoder
from gpu.bert_ways import choose_way, native_way
from gpu.device_lock import DeviceLock
from gpu.embed_loop import EmbedLoop
from gpu.engine import OWNER
from gpu.kernels import Kernels, KernelsMissing, compile_kernels, targets
from gpu.shares import Share
from gpu.sources import ModelSource
from gpu.text_reader import TextReader
from gpu.tokenizer import TOKENIZER_FILE

CPU_BUDGETS: Mapping[EmbedShare, int] = {
    Share.QUERIES: 512,
    Share.BULK: 256,
}  # tokens; more are hardly faster, and others would wait longer
CUDA_BUDGETS: Mapping[EmbedShare, int] = {Share.QUERIES: 65_536, Share.BULK: 65_536}
LONG = 4 * QUERY_TOKENS  # characters; what is longer is surely not a query

UNLOADED = "not chosen yet: it is loaded when the first text comes"

log = get_logger()


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """``sentence_bert_config.json``: how many tokens the model was made for, the special ones at both ends counted."""

    max_seq_length: int


class Embedder:
    """One embedding model. ``on_failure`` is called once, on its thread, with the reason, when it or its device has failed.

    ``way``: one line for people, in which numbers it computes and why.
    """

    def __init__(
        self,
        source: ModelSource,
        settings: Settings,
        *,
        device_lock: DeviceLock,
        threads: int | None = None,
        on_failure: Callable[[str], None] | None = None,
    ) -> None:
        self.model_id = source.id
        self.way = UNLOADED
        self.created = source.created
        self.owned_by = OWNER
        self.context_length = msgspec.json.decode((source.path / "sentence_bert_config.json").read_bytes(), type=Limits).max_seq_length
        self._config = msgspec.json.decode((source.path / "config.json").read_bytes(), type=BertConfig)
        self.dimensions = self._config.hidden_size
        self._folder = source.path
        self.tokenizer = (source.path / TOKENIZER_FILE).read_bytes()
        self._kernels = settings.data_dir / MODELS_FOLDER
        self._device = devices.choose(settings.device)
        self._dtype = settings.embedding_dtype
        self._threads = threads
        if self._dtype is EmbeddingDtype.BFLOAT16 and self._device == devices.CPU:
            native_way(self._compile().ways, self._dtype)  # a wish that cannot be met ends the start
        queue = BatchQueue(CPU_BUDGETS, is_padded=False) if self._device == devices.CPU else BatchQueue(CUDA_BUDGETS, is_padded=True)
        self._loop = EmbedLoop(self._load, queue, device_lock=device_lock, name=source.id, on_failure=on_failure)
        self._reader = TextReader(
            source.path,
            vocabulary=self._config.vocab_size,
            context_length=self.context_length,
            device_lock=device_lock if self._device == devices.CPU else None,
        )

    async def embed(self, inputs: Sequence[str | list[int]], share: EmbedShare | None = None) -> tuple[bytes, int]:
        """The inputs' vectors, float32 [inputs, dimensions] row after row, and how many tokens they were.

        ``share``: as what they are computed; where it is not given, few tokens are a query and many are bulk. Raises ContextTooLong and
        BadRequest before anything is queued, and EngineFailed when the embedder has failed or fails in the middle.
        """
        is_long = share is Share.BULK or (share is None and sum(map(len, inputs)) > LONG)
        order = EmbedRequest(await self._reader.read(inputs, by_turns=is_long), share)
        self._loop.submit(order)
        await order.done
        return b"".join(order.rows), order.tokens

    def close(self) -> None:
        """Stop after the batch that is made now."""
        self._reader.close()
        self._loop.close()

    def _load(self) -> Encoder:
        encoder, self.way = self._choose()
        log.info("numerics", model=self.model_id, text=self.way)
        return encoder

    def _choose(self) -> tuple[Encoder, str]:
        """The encoder, and which way of computing it has chosen and why."""
        why = ""
        if self._device == devices.CPU:
            try:
                functions = self._compile()
            except KernelsMissing as error:
                why = f", slower: {error.detail}"
                log.warning("loading", step=f"{error.detail} {self.model_id} is computed by torch in float32, slower")
            else:
                encoder = BertEncoder(self._folder, functions, self._threads or devices.cores())
                return encoder, choose_way(encoder, self._config.vocab_size, self._dtype)
        from gpu.torch_bert import TorchBertEncoder  # noqa: PLC0415 - torch takes seconds and 470 MB

        slower = TorchBertEncoder(self._folder, self._device, devices.threads(self._threads))
        return slower, f"{slower.dtype} by torch{why}"

    def _compile(self) -> Kernels:
        return compile_kernels(self._kernels, targets()[0], lambda line: log.info("loading", step=line))
