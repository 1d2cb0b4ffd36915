"""The re-ranker: passages with a question asked for on an event loop, scored on a thread of its own.

It is loaded when the first question comes: until then it costs nothing.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from core.errors import SettingsError
from core.settings import Settings
from gpu import devices
from gpu.batch_queue import BatchQueue, EmbedRequest, EmbedShare
from gpu.bert import Encoder
from gpu.device_lock import DeviceLock
from gpu.embed_loop import EmbedLoop
from gpu.pairs import PairReader, read_config
from gpu.shares import Share

CPU_TOKENS = 512  # in a batch, its padding counted; more are hardly faster, and others would wait longer
CUDA_TOKENS = 65_536


class Reranker:
    """One cross-encoder. ``on_failure`` is called once, on its thread, with the reason, when it or its device has failed."""

    def __init__(
        self,
        settings: Settings,
        *,
        device_lock: DeviceLock,
        threads: int | None = None,
        on_failure: Callable[[str], None] | None = None,
    ) -> None:
        """Raises SettingsError where the settings name a folder without a cross-encoder; its weights are read later."""
        folder = Path(settings.reranking_model).expanduser()
        self._reader = PairReader(folder, read_config(folder))
        self._folder = folder
        self._device = devices.choose(settings.device)
        self._threads = threads
        self._unfit: SettingsError | None = None
        tokens = CPU_TOKENS if self._device == devices.CPU else CUDA_TOKENS
        budgets: Mapping[EmbedShare, int] = {Share.QUERIES: tokens, Share.BULK: tokens}
        self._loop = EmbedLoop(
            self._load,
            BatchQueue(budgets, is_padded=True),
            device_lock=device_lock,
            name=folder.resolve().name,
            task="re-ranking",
            on_failure=on_failure,
        )

    async def score(self, query: str, passages: Sequence[str]) -> list[float]:
        """How well each passage fits, 0 to 1, higher is better. Somebody waits for it: it goes before all bulk.

        Cancelled, what is not computed yet is left out. Raises EngineFailed when it has failed or fails in the middle, and PenstockError
        for a model that cannot be loaded.
        """
        if not passages:
            return []
        order = EmbedRequest([*await asyncio.to_thread(self._reader.read, query, passages)], Share.QUERIES)
        self._loop.submit(order)
        await order.done
        scores: list[float] = np.frombuffer(b"".join(order.rows), "<f4").tolist()
        return scores

    def close(self) -> None:
        """Stop after the batch that is made now."""
        self._loop.close()

    def _load(self) -> Encoder:
        """A folder that was found to be unfit is not read again."""
        if self._unfit:
            raise self._unfit
        from gpu.cross_encoder import CrossEncoder  # noqa: PLC0415 - transformers takes seconds to import

        try:
            return CrossEncoder(self._folder, self._device, devices.threads(self._threads))
        except SettingsError as error:
            self._unfit = error
            raise
