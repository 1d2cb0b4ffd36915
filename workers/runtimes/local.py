"""The local engines as a generator: one engine per model, one engine request per choice."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Any

from core.errors import BadRequest, ModelNotFound, SettingsError, Unavailable
from core.models.catalog import Model, Task, display_name
from core.models.completions import CompletionRequest, Logprobs, TokenLogprob, TopLogprob, Usage
from core.models.events import ChoiceFinished, Delta
from core.models.numerics import Numerics
from core.models.pools import Pool
from gpu.engine import OWNER, Engine
from gpu.requests import Request, Sampling, Scored
from gpu.sources import ModelSource, Recommended
from pipelines.chat import Prompt, Transcript, Window

_Part = Delta | ChoiceFinished


class LocalModels:
    """The models that this process has loaded, and those that it can load when they are asked."""

    def __init__(
        self,
        engines: Mapping[str, Engine],
        *,
        look: Callable[[], Sequence[ModelSource]] = tuple,
        load: Callable[[ModelSource], Engine] | None = None,
    ) -> None:
        """``look`` finds models that have been pulled, ``load`` loads one; both take a while, and are called in threads."""
        self._engines = dict(engines)
        self._look = look
        self._load = load
        self._pulled: dict[str, tuple[ModelSource, Model]] = {}
        self._loading = asyncio.Lock()

    async def look(self) -> list[Model]:
        """What can be asked now, as entries in the catalogue."""
        self._pulled = await asyncio.to_thread(lambda: {source.id: (source, _waiting(source)) for source in self._look()})
        return self.models()

    def models(self) -> list[Model]:
        """Their entries in the catalogue."""
        loaded = [
            Model(
                id=name,
                name=display_name(name),
                owned_by=engine.owned_by,
                created=engine.created,
                pool=Pool.GPU,
                context_length=engine.context_length,
                tasks=(Task.CHAT,),
            )
            for name, engine in self._engines.items()
        ]
        waiting = [model for _, model in self._pulled.values() if model.id not in self._engines]
        return [*loaded, *waiting]

    def numerics(self) -> dict[str, Numerics]:
        """Of the models that are loaded."""
        return {name: _numerics(engine) for name, engine in self._engines.items()}

    async def prepare(self, model_id: str) -> Numerics:
        """How a model computes here, which is loaded now where it was not. Raises ModelNotFound, Unavailable."""
        return _numerics(await self._engine(model_id))

    async def window(self, model_id: str) -> Window:
        """What a model reads at once. Raises ModelNotFound, Unavailable."""
        engine = await self._engine(model_id)
        return Window(tokens=engine.context_length, count=engine.count_text)

    async def generate(self, prompt: Prompt) -> AsyncGenerator[_Part | Usage, None]:
        """All choices at once, each with its own place in the batch. Raises EngineFailed when the model's engine has failed for good."""
        engine = await self._engine(prompt.spec.served)
        counted = {choice: len(transcript.tokens) for choice, transcript in prompt.emitted.items()}
        unfinished = [choice for choice in range(prompt.request.n or 1) if not prompt.emitted.get(choice, Transcript()).finish_reason]
        choices = [_choice(engine, prompt, choice) for choice in unfinished]
        async with aclosing(choices[0] if len(choices) == 1 else _merged(choices)) as parts:
            async for part in parts:
                if isinstance(part, Delta):
                    counted[part.choice] = counted.get(part.choice, 0) + len(part.tokens)
                yield part
        asked, made = engine.count_prompt(list(map(dict, prompt.messages))), sum(counted.values())
        yield Usage(prompt_tokens=asked, completion_tokens=made, total_tokens=asked + made)

    async def _engine(self, model_id: str) -> Engine:
        """The engine of a model, loaded now where it was not. Raises ModelNotFound, Unavailable."""
        engine = self._engines.get(model_id)
        if engine:
            return engine
        async with self._loading:
            if model_id not in self._pulled and model_id not in self._engines:
                await self.look()
            if model_id not in self._engines and model_id in self._pulled and self._load:
                try:
                    self._engines[model_id] = await asyncio.to_thread(self._load, self._pulled[model_id][0])
                except SettingsError as error:
                    message = f"The model {model_id!r} was pulled, but cannot be loaded: {error.detail}"
                    raise Unavailable(message) from None
        if model_id not in self._engines:
            message = f"This worker has not loaded the model {model_id!r}."
            raise ModelNotFound(message, param="model")
        return self._engines[model_id]


def _waiting(source: ModelSource) -> Model:
    """A model that is loaded when it is asked."""
    return Model(id=source.id, name=display_name(source.id), owned_by=OWNER, created=source.created, pool=Pool.GPU, tasks=(Task.CHAT,))


def _numerics(engine: Engine) -> Numerics:
    return Numerics(continued=engine.continued, fingerprint=engine.fingerprint, text=engine.numerics)


async def _choice(engine: Engine, prompt: Prompt, choice: int) -> AsyncGenerator[_Part, None]:
    emitted = tuple(prompt.emitted.get(choice, Transcript()).tokens)
    request = Request(
        id=prompt.spec.id,
        choice=choice,
        messages=list(map(dict, prompt.messages)),
        sampling=sampling_of(prompt.request, prompt.spec.seed, engine.recommended),
        emitted=emitted,
    )
    async with aclosing(engine.generate(request)) as pieces:
        async for piece in pieces:
            if piece.text or piece.tokens:
                yield Delta(text=piece.text, choice=choice, tokens=piece.tokens, logprobs=_logprobs(engine, piece.scored))
            if piece.finish_reason:
                yield ChoiceFinished(choice=choice, finish_reason=piece.finish_reason)


def _logprobs(engine: Engine, scored: tuple[Scored, ...]) -> Logprobs | None:
    if not scored:
        return None

    def told(token: int, logprob: float) -> dict[str, Any]:
        text, raw = engine.piece(token)
        return {"token": text, "logprob": logprob, "bytes": list(raw)}

    return Logprobs(
        content=[
            TokenLogprob(**told(one.token, one.logprob), top_logprobs=[TopLogprob(**told(token, value)) for token, value in one.top])
            for one in scored
        ]
    )


def sampling_of(request: CompletionRequest, seed: int, recommended: Recommended) -> Sampling:
    """OpenAI's parameters as the engine's.

    Where one is not given, what the model's makers recommend; without their word, OpenAI's default.
    """

    def given(value: float | None, default: float) -> float:
        return default if value is None else value

    stop = [request.stop] if isinstance(request.stop, str) else request.stop or []
    return Sampling(
        temperature=given(request.temperature, recommended.temperature),
        top_p=given(request.top_p, recommended.top_p),
        top_k=recommended.top_k if request.top_k is None else max(0, request.top_k),
        seed=seed,
        max_tokens=request.max_completion_tokens or request.max_tokens or recommended.max_new_tokens,
        stop=tuple(text for text in stop if text),
        presence_penalty=given(request.presence_penalty, 0.0),
        frequency_penalty=given(request.frequency_penalty, 0.0),
        logit_bias=_token_ids(request.logit_bias or {}),
        logprobs=request.top_logprobs or 0 if request.logprobs else None,
    )


def _token_ids(bias: Mapping[str, float]) -> dict[int, float]:
    try:
        return {int(token): value for token, value in bias.items()}
    except ValueError:
        message = "logit_bias: its keys are token ids, written as numbers."
        raise BadRequest(message, param="logit_bias") from None


async def _merged(sources: list[AsyncGenerator[_Part, None]]) -> AsyncGenerator[_Part, None]:
    """Parts of several generators as they come; the first failure ends all, and closing this closes them."""
    merged: asyncio.Queue[_Part | BaseException | None] = asyncio.Queue()

    async def pump(source: AsyncGenerator[_Part, None]) -> None:
        try:
            async with aclosing(source) as parts:
                async for part in parts:
                    merged.put_nowait(part)
        except Exception as error:  # noqa: BLE001 - raised again where the parts are read
            merged.put_nowait(error)
        else:
            merged.put_nowait(None)

    pumps = [asyncio.create_task(pump(source)) for source in sources]
    try:
        left = len(pumps)
        while left:
            part = await merged.get()
            if isinstance(part, BaseException):
                raise part
            if part is None:
                left -= 1
            else:
                yield part
    finally:
        for task in pumps:
            task.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)
