"""How likely an answer's tokens were, as the model itself sees it: before bias, penalties, temperature and the limits of sampling.

A row's values depend on its own logits only, so they are as exact, and as independent of who shares the batch, as the logits are.
"""

from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from gpu.forward import Forward
from gpu.requests import Scored
from gpu.sequence import Sequence

LEAST = -9999.0  # stands for minus infinity, which JSON has not


class Distributions(msgspec.Struct, frozen=True):
    """Of those sequences of a step that want them: log probabilities, float32 [vocabulary], by the sequence's place."""

    rows: dict[int, npt.NDArray[np.float32]]

    def score(self, place: int, token: int, count: int) -> Scored | None:
        """One token's log probability, and the ``count`` likeliest tokens' (likeliest first, of equals the smaller id)."""
        row = self.rows.get(place)
        if row is None:
            return None
        ids = np.argpartition(-row, count)[:count] if count < len(row) else np.arange(len(row))
        tops = sorted(zip(ids.tolist(), row[ids].tolist(), strict=True), key=lambda top: (-top[1], top[0]))
        return Scored(token=token, logprob=max(float(row[token]), LEAST), top=tuple((top, max(value, LEAST)) for top, value in tops))


def distributions(forward: Forward, logits: Any, sequences: list[Sequence]) -> Distributions:
    """From a forward's logits [sequences, vocabulary], before anything is changed in them. Row by row: one's bits depend on no other."""
    wanted = [place for place, sequence in enumerate(sequences) if sequence.sampling.logprobs is not None]
    return Distributions({place: forward.log_probabilities(logits[place]) for place in wanted})
