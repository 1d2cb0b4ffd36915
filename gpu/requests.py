"""What the engine is asked and what it answers. Imports no torch."""

from typing import Any, Literal

import msgspec

FinishReason = Literal["stop", "length"]


class Sampling(msgspec.Struct, frozen=True, kw_only=True):
    """How tokens are chosen. ``temperature`` 0 is greedy; ``top_k`` 0 is no limit; ``max_tokens`` None is what the context has left.

    ``logit_bias`` (token id to what its logit gains) and penalties act before the temperature; penalties count the answer's own tokens.
    ``logprobs``: how many of the likeliest tokens are told beside each chosen one; None tells nothing.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    seed: int
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logit_bias: dict[int, float] = {}
    logprobs: int | None = None


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One choice of one answer. ``emitted``: ids that are already in the log; the engine goes on after them."""

    id: str
    choice: int = 0
    messages: list[dict[str, Any]]
    sampling: Sampling
    emitted: tuple[int, ...] = ()


class Scored(msgspec.Struct, frozen=True, kw_only=True):
    """A chosen token's log probability; ``top``: the likeliest ids at its place with theirs."""

    token: int
    logprob: float
    top: tuple[tuple[int, float], ...]


class Piece(msgspec.Struct, frozen=True, kw_only=True):
    """More of an answer: the text that became visible and all ids since the last piece.

    ``text`` may be empty while a character or a possible stop string is not complete. The last piece has a ``finish_reason``.
    ``scored``: of these ids, where asked for, but for one that only ends the answer.
    """

    text: str
    tokens: tuple[int, ...]
    finish_reason: FinishReason | None = None
    scored: tuple[Scored, ...] = ()
