"""The engine: answers asked for on an event loop, made on a thread of its own, all in one growing and shrinking batch."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Any

from core.errors import BadRequest, ContextTooLong, SettingsError
from core.settings import Settings
from gpu import devices
from gpu.completion import Completion
from gpu.config import EngineConfig
from gpu.delivery import Delivery, Item
from gpu.device_lock import DeviceLock
from gpu.forward import Forward
from gpu.loading import open_model
from gpu.loop import EngineLoop
from gpu.requests import Piece, Request, Sampling
from gpu.runner import Runner
from gpu.scheduler import Scheduler
from gpu.sequence import Sequence
from gpu.sources import ModelSource, sources
from gpu.tokenizer import ChatTokenizer

__all__ = ["Engine", "load", "sources"]

CACHE_SHARE = 0.4  # of the memory that is free when a model has been loaded, for keys and values
OWNER = "penstock"
BLOCK = 64  # a context is a whole number of these


class Engine:
    """One loaded model."""

    def __init__(
        self,
        source: ModelSource,
        forward: Forward,
        tokenizer: ChatTokenizer,
        *,
        max_batch: int,
        device_lock: DeviceLock,
        on_failure: Callable[[str], None] | None = None,
    ) -> None:
        config, length = _limits(forward, max_batch)
        forward.allocate(config.rows, length)
        self.model_id = source.id
        self.created = source.created
        self.recommended = source.recommended
        self.owned_by = OWNER
        self.context_length = length
        self.continued = forward.numerics.continued
        self.fingerprint = forward.numerics.fingerprint
        self.numerics = forward.numerics.text
        self.device = devices.describe(forward.device)
        self._vocabulary = forward.vocabulary
        self._tokenizer = tokenizer
        self._delivery = Delivery()
        self._loop = EngineLoop(
            Runner(forward),
            Scheduler(config),
            device_lock=device_lock,
            after_step=self._delivery.flush,
            name=source.id,
            on_failure=on_failure,
        )

    def count_prompt(self, messages: list[dict[str, Any]]) -> int:
        """How many tokens a conversation is."""
        return len(self._tokenizer.prompt(messages))

    def count_text(self, text: str) -> int:
        """How many tokens a text is."""
        return len(self._tokenizer.tokenizer.encode(text, add_special_tokens=False).ids)

    def piece(self, token: int) -> tuple[str, bytes]:
        """What a token stands for: as text, and as the bytes that it gives an answer."""
        return self._tokenizer.piece(token)

    async def generate(self, request: Request) -> AsyncGenerator[Piece, None]:
        """An answer as it grows, or the rest of one; the last piece says why it ended.

        Closing the generator takes the request out of the batch. Raises ContextTooLong and BadRequest before anything is queued, and
        Unavailable when the engine is closed in the middle, and EngineFailed when it has failed or fails in the middle.
        """
        loop = asyncio.get_running_loop()
        items: asyncio.Queue[Item] = asyncio.Queue()
        sequence = await asyncio.to_thread(self._prepare, request, lambda item: self._delivery.put(loop, items, item))
        if sequence.answer.finish_reason:
            yield Piece(text="", tokens=(), finish_reason=sequence.answer.finish_reason)
            return
        self._loop.submit(sequence)
        try:
            async for piece in _pieces(items):
                yield piece
        finally:
            sequence.cancelled = True

    @property
    def load(self) -> int:
        """Requests running and waiting."""
        return self._loop.load

    def close(self) -> None:
        """Stop after the step that runs now."""
        self._loop.close()

    def _prepare(self, request: Request, deliver: Callable[[Item], None]) -> Sequence:
        """Check a request, read its prompt, replay what has been emitted."""
        self._check(request.sampling)
        prompt = self._tokenizer.prompt(request.messages)
        room = self.context_length - len(prompt)
        if room <= 0:
            message = (
                f"This model's maximum context length is {self.context_length} tokens. However, your messages resulted in {len(prompt)} "
                "tokens. Please reduce the length of the messages."
            )
            raise ContextTooLong(message, param="messages")
        asked = request.sampling.max_tokens
        answer = Completion(
            self._tokenizer.tokenizer,
            ends=self._tokenizer.ends,
            stops=request.sampling.stop,
            room=room if asked is None else min(room, asked),
        )
        for token in request.emitted:
            answer.push(token)
        return Sequence(request, prompt, answer, deliver)

    def _check(self, sampling: Sampling) -> None:
        strangers = [token for token in sampling.logit_bias if not 0 <= token < self._vocabulary]
        if strangers:
            message = f"logit_bias: {strangers[0]} is not a token of this model; ids run from 0 to {self._vocabulary - 1}."
            raise BadRequest(message, param="logit_bias")


def load(  # noqa: PLR0913 - each by its name, where a worker is assembled
    source: ModelSource,
    settings: Settings,
    *,
    progress: Callable[[str], None] = lambda _: None,
    threads: int | None = None,
    max_batch: int | None = None,
    device_lock: DeviceLock | None = None,
    on_failure: Callable[[str], None] | None = None,
) -> Engine:
    """Load a model on the device of ``settings``; what is made of a GGUF is kept under its data folder. ``progress`` gets lines for people.

    ``device_lock``: of what else computes on that device in this process. ``on_failure`` is called once, on the engine's thread, with the
    reason, when the engine or its device has failed: it answers nothing any more.
    Raises SettingsError for a model or device that cannot be used.
    """
    device, count = devices.choose(settings.device), devices.threads(threads)
    progress(f"Loading {source.id} on {devices.describe(device)}")
    forward, tokenizer = open_model(
        source, device=device, threads=(count, threads or devices.cores()), cache_dir=settings.data_dir / "models", progress=progress
    )
    engine = Engine(
        source,
        forward,
        tokenizer,
        max_batch=max_batch or settings.max_batch,
        device_lock=device_lock or DeviceLock(),
        on_failure=on_failure,
    )
    progress(f"{source.id} is ready: context {engine.context_length} tokens, up to {max_batch or settings.max_batch} requests at once")
    return engine


def _limits(forward: Forward, rows: int) -> tuple[EngineConfig, int]:
    """The engine's limits and its context length, from the memory there is. A GPU's cache is taken at once, a CPU's as it is used."""
    tokens = int(devices.free_bytes(forward.device) * CACHE_SHARE) // forward.shape.token_bytes
    length = min(forward.context_length, tokens // BLOCK * BLOCK)
    if length < BLOCK:
        message = "There is too little memory for this model's keys and values. Free some, or choose a smaller model."
        raise SettingsError(message)
    if forward.device != devices.CPU:
        rows = max(1, min(rows, tokens // length))
    return EngineConfig(rows=rows, cache_tokens=tokens), length


async def _pieces(items: asyncio.Queue[Item]) -> AsyncGenerator[Piece, None]:
    """Pieces up to the last; those that came while the reader was busy are joined."""
    finish = None
    while finish is None:
        ready = [await items.get()]
        while not items.empty():
            ready.append(items.get_nowait())
        pieces = [item for item in ready if isinstance(item, Piece)]
        if pieces:
            finish = pieces[-1].finish_reason
            yield Piece(
                text="".join(piece.text for piece in pieces),
                tokens=tuple(token for piece in pieces for token in piece.tokens),
                finish_reason=finish,
                scored=tuple(scored for piece in pieces for scored in piece.scored),
            )
        for item in ready:
            if isinstance(item, Exception):
                raise item
