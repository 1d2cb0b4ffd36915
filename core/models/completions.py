"""OpenAI's chat completion request, as far as we read it. What we do not read still travels to an upstream, in ``JobSpec.body``.

Source: the ``CreateChatCompletionRequest`` schema of OpenAI's API reference.
"""

from typing import Annotated, Any, Literal

import msgspec

from core.models.sources import MAX_BASES, MAX_FILES, Attachment
from core.models.tools import ToolIds

Penalty = Annotated[float, msgspec.Meta(ge=-2, le=2)]
MAX_STOPS = 16
MAX_TOP_LOGPROBS = 20


class StreamOptions(msgspec.Struct, frozen=True, kw_only=True):
    """``include_usage``: one more chunk, with no choices and the usage, before ``[DONE]``."""

    include_usage: bool = False


class Parameters(msgspec.Struct, frozen=True, kw_only=True):
    """How an answer is sampled. Null stands for the default, as on OpenAI's own servers. ``top_k`` 0, -1 or null: no limit."""

    temperature: Annotated[float, msgspec.Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    top_k: Annotated[int, msgspec.Meta(ge=-1)] | None = None
    seed: int | None = None
    max_tokens: Annotated[int, msgspec.Meta(ge=1)] | None = None
    max_completion_tokens: Annotated[int, msgspec.Meta(ge=1)] | None = None
    stop: str | Annotated[list[str], msgspec.Meta(max_length=MAX_STOPS)] | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    logit_bias: dict[str, Annotated[float, msgspec.Meta(ge=-100, le=100)]] | None = None


class Options(Parameters, frozen=True, kw_only=True):
    """All that may be left out of a request.

    ``logprobs``: how likely each token was, as the model itself sees it, before bias, penalties and temperature; ``top_logprobs``: and
    that many of the likeliest beside it. Tools, formats other than text, images, audio and searching are for upstreams that know them.
    """

    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: Annotated[int, msgspec.Meta(ge=1, le=16)] | None = None
    user: str | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, msgspec.Meta(ge=0, le=MAX_TOP_LOGPROBS)] | None = None
    tools: list[Any] | None = None
    tool_choice: Any = None
    parallel_tool_calls: bool | None = None
    functions: list[Any] | None = None
    function_call: Any = None
    response_format: Any = None
    modalities: list[str] | None = None
    audio: Any = None
    web_search_options: Any = None


class CompletionRequest(Options, frozen=True, kw_only=True):
    """One request. Whatever is not named here goes to an upstream as it came.

    ``files`` and ``knowledge_ids``: fields of ours. The answer is to stand on passages of these. ``tool_ids``: functions that the model may
    call; those of a custom model where this is left out. ``params``: where Open WebUI's clients say how (``function_calling``).
    """

    model: str
    messages: Annotated[list[dict[str, Any]], msgspec.Meta(min_length=1)]
    files: Annotated[list[Attachment], msgspec.Meta(max_length=MAX_FILES)] | None = None
    knowledge_ids: Annotated[list[str], msgspec.Meta(max_length=MAX_BASES)] | None = None
    tool_ids: ToolIds | None = None
    params: Any = None


class Usage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Tokens, counted. The details are there where an upstream tells them: cached, reasoning, audio tokens."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: dict[str, Any] | None = None
    completion_tokens_details: dict[str, Any] | None = None


class TopLogprob(msgspec.Struct, frozen=True, kw_only=True):
    """A token and its natural logarithm of probability. ``bytes``: its UTF-8, which may be a part of a character."""

    token: str
    logprob: float
    bytes: list[int] | None = None


class TokenLogprob(TopLogprob, frozen=True, kw_only=True):
    """A token of the answer, with the likeliest ones at its place."""

    top_logprobs: list[TopLogprob] = []


class Logprobs(msgspec.Struct, frozen=True, kw_only=True):
    """Of the tokens of an answer, or of one piece of it."""

    content: list[TokenLogprob] | None = None
    refusal: list[TokenLogprob] | None = None

    def joined(self, more: "Logprobs | None") -> "Logprobs":
        """These and those that follow."""
        if more is None:
            return self
        return Logprobs(content=_joined(self.content, more.content), refusal=_joined(self.refusal, more.refusal))


def _joined(first: list[TokenLogprob] | None, more: list[TokenLogprob] | None) -> list[TokenLogprob] | None:
    return first if more is None else [*(first or ()), *more]


FinishReason = Literal["stop", "length", "tool_calls", "content_filter", "function_call"]
