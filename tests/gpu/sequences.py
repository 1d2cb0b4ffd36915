"""Sequences without a tokenizer behind them."""

import itertools

from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from gpu.completion import Completion
from gpu.requests import Piece, Request, Sampling
from gpu.sequence import Sequence

_numbers = itertools.count(1000)
PLAIN = Sampling(temperature=0.0, seed=0)


def sequence(length: int, sampling: Sampling = PLAIN, *, choice: int = 0, emitted: tuple[int, ...] = ()) -> Sequence:
    """A prompt of so many ids, unlike any other's; and what has been answered."""
    return like([next(_numbers)] * length, sampling, choice=choice, emitted=emitted)


def like(prompt: list[int], sampling: Sampling = PLAIN, *, choice: int = 0, emitted: tuple[int, ...] = ()) -> Sequence:
    """A prompt of these ids."""
    answer = Completion(Tokenizer(WordLevel({"a": 0}, "a")), ends=frozenset(), stops=(), room=10_000)
    return Sequence(Request(id="", choice=choice, messages=[], sampling=sampling, emitted=emitted), prompt, answer, _ignore)


def _ignore(_: Piece | Exception) -> None:
    """Nobody reads these."""
