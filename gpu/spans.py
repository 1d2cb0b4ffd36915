"""Which tokens of a step attend together. Pure; imports no torch."""

from collections.abc import Sequence

import msgspec

BLOCK = 64  # bfloat16 attention over lengths rounded up to this gives each row the same bits whatever the padding and the neighbours
MAX_WASTE_TOKENS = 512


class Span(msgspec.Struct, frozen=True):
    """Tokens ``start..stop`` of a step, over the first ``length`` places of ``rows`` cache rows from ``row`` on.

    One row of its own for each token (running answers), or, with ``shared``, one row for all of them (a piece of a prompt).
    """

    start: int
    stop: int
    row: int
    length: int
    shared: bool = False


def padded(length: int) -> int:
    """A length rounded up to whole blocks."""
    return -(-length // BLOCK) * BLOCK


def running_spans(rows: Sequence[int], lengths: Sequence[int]) -> list[Span]:
    """Spans of running rows, given in ascending order with the tokens that each attends to.

    Neighbours join while padding them to one length wastes little.
    """
    spans: list[Span] = []
    waste = 0
    for index, (row, tokens) in enumerate(zip(rows, lengths, strict=True)):
        length = padded(tokens)
        if spans:
            last = spans[-1]
            count = last.stop - last.start
            longest = max(last.length, length)
            joined = waste + (longest - last.length) * count + (longest - length)
            if row == last.row + count and joined <= MAX_WASTE_TOKENS:
                spans[-1], waste = Span(last.start, index + 1, last.row, longest), joined
                continue
        spans.append(Span(index, index + 1, row, length))
        waste = 0
    return spans
