"""Logits to ids by torch, for models whose logits are on a GPU; what it promises stands in gpu/sampler.py."""

import torch

from gpu.sampler import uniform
from gpu.sequence import Sequence

FIRST_CANDIDATES = 128


@torch.inference_mode()
def choose(logits: torch.Tensor, sequences: list[Sequence]) -> list[int | None]:
    """The next id of each sequence, from logits [sequences, vocabulary]; None for a row that is not finite."""
    scores = logits.float()
    for row, sequence in enumerate(sequences):
        _adjust(scores[row], sequence)
    best, chosen = scores.max(-1)
    ids: list[int] = chosen.tolist()
    drawn = [row for row, sequence in enumerate(sequences) if sequence.sampling.temperature > 0]
    if drawn:
        every = len(drawn) == len(sequences)
        index = None if every else torch.tensor(drawn, device=scores.device)
        picked = _draw(
            scores if index is None else scores[index], best if index is None else best[index], [sequences[row] for row in drawn]
        )
        for row, token in zip(drawn, picked, strict=True):
            ids[row] = token
    sound = torch.isfinite(best).tolist()
    return [token if fine else None for token, fine in zip(ids, sound, strict=True)]


def _adjust(row: torch.Tensor, sequence: Sequence) -> None:
    """Add the bias, take off the penalties, in place."""
    sampling = sequence.sampling
    if sampling.logit_bias:
        row[list(sampling.logit_bias)] += torch.tensor(list(sampling.logit_bias.values()), device=row.device)
    if sequence.counts and (sampling.presence_penalty or sampling.frequency_penalty):
        counts = torch.tensor(list(sequence.counts.values()), dtype=torch.float32, device=row.device)
        row[list(sequence.counts)] -= counts * sampling.frequency_penalty + sampling.presence_penalty


def _draw(scores: torch.Tensor, best: torch.Tensor, sequences: list[Sequence]) -> list[int]:
    """Inverse of the cumulative distribution at each sequence's own random number."""
    temperatures = torch.tensor([sequence.sampling.temperature for sequence in sequences], device=scores.device)
    chances = ((scores - best[:, None]) / temperatures[:, None]).softmax(-1)
    limited = [row for row, sequence in enumerate(sequences) if _is_limited(sequence, scores.shape[1])]
    if limited:
        floor = torch.zeros(len(sequences), device=scores.device)
        _floors(chances, limited, sequences, floor)
        chances = chances.masked_fill_(chances < floor[:, None], 0.0)
    sums = chances.double().cumsum(-1)
    numbers = [uniform(sequence.sampling.seed, sequence.choice, sequence.position) for sequence in sequences]
    wanted = sums[:, -1:] * torch.tensor(numbers, dtype=torch.float64, device=scores.device)[:, None]
    found: list[int] = torch.searchsorted(sums, wanted, right=True).clamp_(max=scores.shape[1] - 1).squeeze(-1).tolist()
    return found


def _is_limited(sequence: Sequence, vocabulary: int) -> bool:
    return sequence.sampling.top_p < 1 or 0 < sequence.sampling.top_k < vocabulary


def _floors(chances: torch.Tensor, rows: list[int], sequences: list[Sequence], floor: torch.Tensor) -> None:
    """The smallest chance that top_k, then top_p, leave in.

    Tokens of equal chance stay or go together, so the order of equals does not matter.
    """
    candidates = FIRST_CANDIDATES
    while rows:
        candidates = min(candidates, chances.shape[1])
        highest = chances[rows].topk(candidates).values
        sums, left = highest.double().cumsum(-1), []
        for place, row in enumerate(rows):
            sampling = sequences[row].sampling
            top_k = min(sampling.top_k or chances.shape[1], chances.shape[1])
            if sampling.top_k and top_k > candidates:
                left.append(row)
                continue
            total = float(sums[place, top_k - 1]) if sampling.top_k else 1.0
            needed = int(torch.searchsorted(sums[place], sampling.top_p * total)) if sampling.top_p < 1 else top_k - 1
            if needed >= candidates and candidates < chances.shape[1]:
                left.append(row)
            else:
                floor[row] = highest[place, min(needed, top_k - 1, candidates - 1)]
        rows, candidates = left, candidates * 16
