"""Asking an engine, and gathering its pieces."""

from typing import Any

import msgspec

from core.settings import Settings
from gpu.engine import Engine
from gpu.requests import FinishReason, Piece, Request, Sampling
from gpu.sources import ModelSource


class Started(msgspec.Struct, frozen=True):
    """An engine, what it was loaded with, and what it said meanwhile."""

    engine: Engine
    source: ModelSource
    settings: Settings
    said: list[str]


class Answered(msgspec.Struct, frozen=True):
    """A whole answer."""

    text: str
    tokens: tuple[int, ...]
    finish_reason: FinishReason | None
    pieces: list[Piece]


def request(content: Any, *, name: str = "asked", emitted: tuple[int, ...] = (), choice: int = 0, **sampling: Any) -> Request:
    """One user message. Greedy and 24 tokens long, unless told otherwise."""
    chosen = Sampling(**{"temperature": 0.0, "seed": 1, "max_tokens": 24, **sampling})
    return Request(id=name, choice=choice, messages=[{"role": "user", "content": content}], sampling=chosen, emitted=emitted)


async def gathered(engine: Engine, asked: Request) -> Answered:
    """All pieces of an answer."""
    pieces = [piece async for piece in engine.generate(asked)]
    tokens = tuple(token for piece in pieces for token in piece.tokens)
    return Answered("".join(piece.text for piece in pieces), tokens, pieces[-1].finish_reason, pieces)


async def ask(engine: Engine, content: Any, **asked: Any) -> Answered:
    """The answer to one user message."""
    return await gathered(engine, request(content, **asked))
