"""OpenAI's chat completion request, as far as we read it. What we do not read still travels to an upstream, in ``GenerationSpec.body``.

Source: the ``CreateChatCompletionRequest`` schema of OpenAI's API reference.
"""

from typing import Annotated, Any, Literal

import msgspec

Penalty = Annotated[float, msgspec.Meta(ge=-2, le=2)]
MAX_STOPS = 16


class StreamOptions(msgspec.Struct, frozen=True, kw_only=True):
    """``include_usage``: one more chunk, with no choices and the usage, before ``[DONE]``."""

    include_usage: bool = False


class Parameters(msgspec.Struct, frozen=True, kw_only=True):
    """How an answer is sampled. Null stands for the default, as on OpenAI's own servers. ``top_k`` 0 or null: no limit."""

    temperature: Annotated[float, msgspec.Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, msgspec.Meta(gt=0, le=1)] | None = None
    top_k: Annotated[int, msgspec.Meta(ge=0)] | None = None
    seed: int | None = None
    max_tokens: Annotated[int, msgspec.Meta(ge=1)] | None = None
    max_completion_tokens: Annotated[int, msgspec.Meta(ge=1)] | None = None
    stop: str | Annotated[list[str], msgspec.Meta(max_length=MAX_STOPS)] | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    logit_bias: dict[str, Annotated[float, msgspec.Meta(ge=-100, le=100)]] | None = None


class CompletionRequest(Parameters, frozen=True, kw_only=True):
    """One request."""

    model: str
    messages: Annotated[list[dict[str, Any]], msgspec.Meta(min_length=1)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: Annotated[int, msgspec.Meta(ge=1, le=16)] | None = None
    user: str | None = None


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens, counted."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


FinishReason = Literal["stop", "length", "tool_calls", "content_filter", "function_call"]
