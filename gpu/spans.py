"""Which tokens of a step attend together. Pure; imports no torch.

A token attends over a length that follows from its own position alone: the end of the block of 64 that it stands in. So its matrix
products have one shape wherever it is computed: in its prompt, in its answer, replayed after a take-over, beside whomever.
"""

from collections.abc import Iterator, Sequence

import msgspec

BLOCK = 64


class Run(msgspec.Struct, frozen=True):
    """Tokens ``start..stop`` of a step: neighbours in cache row ``row``, the first of them at ``position``."""

    start: int
    stop: int
    row: int
    position: int

    @property
    def is_single(self) -> bool:
        """Whether this is one token, as every running answer's run is."""
        return self.stop - self.start == 1


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


def spans_of(runs: Sequence[Run]) -> list[Span]:
    """The spans of a step's runs: prompts cut where blocks end, single tokens of neighbouring rows joined where their lengths are equal."""
    spans: list[Span] = []
    for run in runs:
        for span in _cut(run):
            last = spans[-1] if spans else span
            if (
                run.is_single
                and not last.shared
                and (last.stop, last.row + last.stop - last.start, last.length)
                == (
                    span.start,
                    span.row,
                    span.length,
                )
            ):
                spans[-1] = Span(last.start, span.stop, last.row, last.length)
            else:
                spans.append(span)
    return spans


def _cut(run: Run) -> Iterator[Span]:
    start, position = run.start, run.position
    while start < run.stop:
        length = padded(position + 1)
        stop = min(run.stop, start + length - position)
        yield Span(start, stop, run.row, length, shared=not run.is_single)
        start, position = stop, length
