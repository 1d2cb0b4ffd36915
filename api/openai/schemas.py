"""What chat completions look like, for the documentation: the modules completion and completion_chunks beside this one write them.

Source: ``CreateChatCompletionResponse`` and ``CreateChatCompletionStreamResponse`` of OpenAI's API reference.
"""

from typing import Literal

import msgspec

from core.models.completions import FinishReason, Logprobs, Usage
from core.models.numerics import Continued

Omitted = msgspec.UnsetType


class ToolFunction(msgspec.Struct, frozen=True, kw_only=True):
    """``arguments``: JSON, as the model wrote it."""

    name: str | Omitted = msgspec.UNSET
    arguments: str | Omitted = msgspec.UNSET


class ToolCall(msgspec.Struct, frozen=True, kw_only=True):
    """A function that the model wants called. In a chunk, ``index`` says which one grows."""

    function: ToolFunction
    index: int | Omitted = msgspec.UNSET
    id: str | Omitted = msgspec.UNSET
    type: str | Omitted = msgspec.UNSET


class AssistantMessage(msgspec.Struct, frozen=True, kw_only=True):
    """What the model said. ``content`` is null where it only called tools."""

    role: Literal["assistant"]
    content: str | None
    refusal: str | None
    tool_calls: list[ToolCall] | Omitted = msgspec.UNSET
    reasoning_content: str | Omitted = msgspec.UNSET


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """One of the ``n`` answers."""

    index: int
    message: AssistantMessage
    logprobs: Logprobs | None
    finish_reason: FinishReason


class SourceFile(msgspec.Struct, frozen=True, kw_only=True):
    """The file that a passage is from."""

    id: str
    name: str


class SourceMetadata(msgspec.Struct, frozen=True, kw_only=True):
    """Where a passage stands. ``pages``: from 1; ``page``: the first of them, from 0. ``source``: another one for each passage."""

    source: str
    name: str
    file_id: str
    pages: list[int]
    page: int | Omitted = msgspec.UNSET
    knowledge_id: str | Omitted = msgspec.UNSET


class AnswerSource(msgspec.Struct, frozen=True, kw_only=True):
    """A passage that the answer stands on, in Open WebUI's shape; the answer calls the first one [1]. ``distances``: its score, 0 to 1."""

    source: SourceFile
    document: list[str]
    metadata: list[SourceMetadata]
    distances: list[float]


class ChatCompletion(msgspec.Struct, frozen=True, kw_only=True):
    """A whole answer. ``created``: Unix seconds. ``usage`` is left out of an answer that was stopped.

    ``continued``: another worker went on with it, ``exact`` if byte for byte as if nothing had happened. ``system_fingerprint``: of
    local models, equal where the same bits are computed. ``sources``: of an answer that was asked with ``files`` or ``knowledge_ids``.
    """

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[Choice]
    system_fingerprint: str | Omitted = msgspec.UNSET
    usage: Usage | Omitted = msgspec.UNSET
    continued: Continued | Omitted = msgspec.UNSET
    sources: list[AnswerSource] | Omitted = msgspec.UNSET


class ChoiceDelta(msgspec.Struct, frozen=True, kw_only=True):
    """More of one answer."""

    role: Literal["assistant"] | Omitted = msgspec.UNSET
    content: str | Omitted | None = msgspec.UNSET
    tool_calls: list[ToolCall] | Omitted = msgspec.UNSET
    reasoning_content: str | Omitted = msgspec.UNSET


class ChunkChoice(msgspec.Struct, frozen=True, kw_only=True):
    """A piece, and in the last one why it ended."""

    index: int
    delta: ChoiceDelta
    logprobs: Logprobs | None
    finish_reason: FinishReason | None


class ChatCompletionChunk(msgspec.Struct, frozen=True, kw_only=True):
    """The ``data:`` of one event of a streamed answer; after the last one comes ``data: [DONE]``. ``choices`` is empty beside ``usage``.

    ``sources`` come in a chunk of their own, after the answer.
    """

    id: str
    object: Literal["chat.completion.chunk"]
    created: int
    model: str
    choices: list[ChunkChoice]
    system_fingerprint: str | Omitted = msgspec.UNSET
    usage: Usage | Omitted | None = msgspec.UNSET
    continued: Continued | Omitted = msgspec.UNSET
    sources: list[AnswerSource] | Omitted = msgspec.UNSET
