"""What upstreams send, as far as it is read.

Sources: OpenAI's API reference, chat completion object and chunk object, and models list; Ollama's API, list of local models.
"""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any, get_args

import msgspec

from core.models.catalog import ANY_TASK, Task
from core.models.completions import FinishReason, Logprobs, Usage
from core.models.events import Delta


class WireDelta(msgspec.Struct, kw_only=True):
    """A delta's or a message's members. ``content``: of some servers a list of parts."""

    content: str | list[Any] | None = None
    role: str | None = None
    refusal: str | None = None
    tool_calls: list[Any] | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    function_call: Any = None
    annotations: list[Any] | None = None
    audio: Any = None

    @property
    def text(self) -> str:
        """What is to be shown of its content."""
        if not isinstance(self.content, list):
            return self.content or ""
        return "".join(part["text"] for part in self.content if isinstance(part, dict) and isinstance(part.get("text"), str))


_REASONS: dict[str, FinishReason] = {
    **{reason: reason for reason in get_args(FinishReason)},
    **dict.fromkeys(("max_tokens", "max_length", "model_length"), "length"),
    **dict.fromkeys(("tool_use", "tool_call"), "tool_calls"),
    **dict.fromkeys(("safety", "refusal"), "content_filter"),
}
EXTRA = ("tool_calls", "reasoning_content", "reasoning", "refusal", "function_call", "annotations", "audio")


class WireChoice(msgspec.Struct, kw_only=True):
    """One choice of a chunk (``delta``) or of a whole answer (``message``)."""

    index: int = 0
    delta: WireDelta | None = None
    message: WireDelta | None = None
    logprobs: Any = None
    finish_reason: str | None = None

    @property
    def end(self) -> FinishReason | None:
        """Why it ended, in OpenAI's words, though its server may have others; None while it goes on."""
        if not self.finish_reason:
            return None
        return _REASONS.get(self.finish_reason.lower(), "stop")


class WireUsage(msgspec.Struct, kw_only=True):
    """Some servers leave members out."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: Any = None
    completion_tokens_details: Any = None


class Chunk(msgspec.Struct, kw_only=True):
    """``error``: some servers report a failure inside the stream."""

    choices: list[WireChoice] | None = None
    usage: WireUsage | None = None
    error: Any = None


class WireCompletion(msgspec.Struct, kw_only=True):
    """A whole answer."""

    choices: list[WireChoice]
    usage: WireUsage | None = None


class WireEmbedding(msgspec.Struct, kw_only=True):
    """One vector: numbers, or base64 of little-endian float32."""

    index: int = 0
    embedding: list[float] | str


class EmbeddingAnswer(msgspec.Struct, kw_only=True):
    """What ``POST /embeddings`` answers."""

    data: list[WireEmbedding]
    usage: WireUsage | None = None


class ListedModel(msgspec.Struct, kw_only=True):
    """A row of ``GET /models``. ``type``: some servers say what a model is for. What else some write in a way of their own is not read."""

    id: str
    type: Any = None
    name: Any = None
    created: Any = None
    owned_by: Any = None


class Listing(msgspec.Struct, kw_only=True):
    """``GET /models``. Some servers answer with the bare list."""

    data: list[Any] = []


def read_listing(body: bytes) -> Iterator[ListedModel]:
    """The models in a listing; a row that is none costs itself only. Raises msgspec's errors for what is no listing."""
    found = msgspec.json.decode(body, type=Listing | list[Any])
    for row in found.data if isinstance(found, Listing) else found:
        with suppress(msgspec.ValidationError):
            model = msgspec.convert(row, ListedModel)
            if model.id:
                yield model


class TagDetails(msgspec.Struct, kw_only=True):
    """``family``: the model's architecture."""

    family: str | None = None


class Tag(msgspec.Struct, kw_only=True):
    """A row of Ollama's ``GET /api/tags``; ``size`` in bytes."""

    name: str
    modified_at: str = ""
    size: int | None = None
    details: TagDetails | None = None


class Tags(msgspec.Struct, kw_only=True):
    """Ollama's ``GET /api/tags``."""

    models: list[Tag] | None = None


class Problem(msgspec.Struct, kw_only=True):
    """An error's body, in the two forms that servers use."""

    error: Any = None
    detail: Any = None

    @property
    def words(self) -> str:
        """What went wrong, in the server's words."""
        inner = self.error.get("message") if isinstance(self.error, dict) else self.error
        return str(inner or self.detail or "")[:300]

    @property
    def code(self) -> str:
        """OpenAI's machine-readable code."""
        return str(self.error.get("code") or "") if isinstance(self.error, dict) else ""

    @property
    def param(self) -> str | None:
        """The request's field at fault, where the server names one."""
        found = self.error.get("param") if isinstance(self.error, dict) else None
        return found if isinstance(found, str) else None


def tasks_of(name: str, kind: str) -> tuple[Task, ...]:
    """What a listed model can be asked for; ``kind``: its type or family, where the server tells.

    Few servers say so; but embedding models are named as such, or are encoders.
    """
    is_embedding = "embed" in f"{name} {kind}".lower() or "bert" in kind.lower()
    return (Task.EMBEDDING,) if is_embedding else ANY_TASK


def delta_of(choice: WireChoice) -> Delta | None:
    """The event for one choice of a chunk or an answer; None where it brings nothing to show."""
    given = choice.delta or choice.message or WireDelta()
    extra = {name: value for name in EXTRA if (value := getattr(given, name))}
    logprobs = _logprobs(choice.logprobs)
    text = given.text
    if not text and not extra and not logprobs:
        return None
    return Delta(text=text, choice=choice.index, extra=extra or None, logprobs=logprobs)


def _logprobs(given: Any) -> Logprobs | None:
    """Those of a form that is not OpenAI's are left out."""
    try:
        found = msgspec.convert(given, Logprobs | None)
    except msgspec.ValidationError:
        return None
    return found if found and (found.content or found.refusal) else None


def usage_of(given: WireUsage | None) -> Usage | None:
    """Usage as ours, with the total added up."""
    if given is None or given.prompt_tokens is None:
        return None
    prompt, completion = given.prompt_tokens, given.completion_tokens or 0
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=prompt + completion,
        prompt_tokens_details=_details(given.prompt_tokens_details),
        completion_tokens_details=_details(given.completion_tokens_details),
    )


def _details(given: Any) -> dict[str, Any] | None:
    return given if isinstance(given, dict) else None
