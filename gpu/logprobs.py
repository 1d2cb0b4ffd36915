"""How likely an answer's tokens were, as the model itself sees it: before bias, penalties, temperature and the limits of sampling.

A row's values depend on its own logits only, so they are as exact, and as independent of who shares the batch, as the logits are.
"""

import msgspec
import torch

from gpu.requests import Scored
from gpu.sequence import Sequence

LEAST = -9999.0  # stands for minus infinity, which JSON has not


class Distributions(msgspec.Struct, frozen=True):
    """Of those sequences of a step that want them: log probabilities, float32 [vocabulary], by the sequence's place."""

    rows: dict[int, torch.Tensor]

    def scored(self, place: int, token: int, count: int) -> Scored | None:
        """One token's log probability, and the ``count`` likeliest tokens' (likeliest first, of equals the smaller id)."""
        row = self.rows.get(place)
        if row is None:
            return None
        values, ids = row.topk(min(count, row.shape[0]))
        tops = sorted(zip(ids.tolist(), values.tolist(), strict=True), key=lambda top: (-top[1], top[0]))
        return Scored(token=token, logprob=max(float(row[token]), LEAST), top=tuple((top, max(value, LEAST)) for top, value in tops))


@torch.inference_mode()
def distributions(logits: torch.Tensor, sequences: list[Sequence]) -> Distributions:
    """From logits [sequences, vocabulary], before anything is changed in them. Row by row: one's bits depend on no other."""
    wanted = [place for place, sequence in enumerate(sequences) if sequence.sampling.logprobs is not None]
    return Distributions({place: logits[place].float().log_softmax(-1) for place in wanted})
