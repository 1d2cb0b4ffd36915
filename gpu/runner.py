"""A plan to a batch, a batch to logits. No policy."""

from typing import Any

import numpy as np

from gpu.forward import Batch, Forward, Run
from gpu.prefix_cache import Copy
from gpu.scheduler import Work


class Runner:
    """Runs steps on one model."""

    def __init__(self, forward: Forward) -> None:
        self.forward = forward

    def run(self, works: list[Work]) -> Any:
        """The logits of those works that complete their sequences, in order: [completed, vocabulary]. Single ids come first, by row."""
        return self.forward(batch_of(works))

    def prepare(self, released: list[int], copies: list[Copy]) -> None:
        """Before a step: rows whose memory may go back, and what is taken over from other rows."""
        for row in released:
            self.forward.release(row)
        for copy in copies:
            self.forward.copy(copy)

    def try_out(self, row: int) -> None:
        """A step that is nobody's, in a row that nobody needs any more. Raises what the model raises, and ArithmeticError."""
        logits = self.forward(Batch(ids=[0], positions=[0], rows=[row], runs=[Run(0, 1)], wanted=[0]))
        if not np.isfinite(self.forward.log_probabilities(logits[0])).all():
            message = "logits are not finite"
            raise ArithmeticError(message)


def batch_of(works: list[Work]) -> Batch:
    """The step that a plan describes."""
    ids: list[int] = []
    positions: list[int] = []
    rows: list[int] = []
    wanted: list[int] = []
    runs: list[Run] = []
    for work in works:
        start = len(ids)
        ids += work.sequence.ids[work.start : work.stop]
        positions += range(work.start, work.stop)
        rows += [work.row] * (work.stop - work.start)
        runs.append(Run(start, len(ids)))
        if work.completes:
            wanted.append(len(ids) - 1)
    return Batch(ids, positions, rows, runs, wanted)
