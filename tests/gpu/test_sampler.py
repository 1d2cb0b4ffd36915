import math
from collections import Counter
from typing import Any

import pytest
import torch

from gpu.requests import Sampling
from gpu.sampler import choose, uniform
from gpu.sequence import Sequence
from tests.gpu.sequences import sequence

VOCABULARY = 5000


def row(seed: int = 0, spread: float = 3.0) -> torch.Tensor:
    """Logits in bfloat16, as the exact model gives them: with many equals."""
    return (torch.randn(VOCABULARY, generator=torch.Generator().manual_seed(seed)) * spread).to(torch.bfloat16)


def asked(emitted: tuple[int, ...] = (), choice: int = 0, **sampling: Any) -> Sequence:
    return sequence(3, Sampling(**{"temperature": 1.0, "seed": 1, **sampling}), choice=choice, emitted=emitted)


def drawn(logits: torch.Tensor, times: int, **sampling: Any) -> Counter[int | None]:
    """What many seeds choose."""
    return Counter(choose(logits.expand(times, -1), [asked(seed=seed, **sampling) for seed in range(times)]))


KINDS: list[dict[str, Any]] = [
    {"temperature": 0.0},
    {"temperature": 1.0},
    {"temperature": 0.7, "top_p": 0.9},
    {"temperature": 1.3, "top_p": 0.999},
    {"top_k": 5},
    {"top_k": 700, "top_p": 0.8},
    {"presence_penalty": 1.0, "frequency_penalty": 0.5, "emitted": (3, 3, 4)},
    {"logit_bias": {8: 5.0, 9: -100.0}, "top_p": 0.5},
]


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_neighbours_change_nothing(kind: dict[str, Any]) -> None:
    logits = torch.stack([row(seed) for seed in range(32)])
    alone = [choose(logits[place : place + 1].clone(), [asked(**kind, seed=place)])[0] for place in range(32)]
    assert choose(logits.clone(), [asked(**kind, seed=place) for place in range(32)]) == alone
    mixed = [asked(**(kind if place % 2 else KINDS[place // 2 % len(KINDS)]), seed=place) for place in range(32)]
    assert choose(logits.clone(), mixed)[1::2] == alone[1::2]


def test_temperature_0_takes_the_best() -> None:
    assert choose(row()[None], [asked(temperature=0.0)]) == [int(row().float().argmax())]


def test_a_temperature_close_to_0_nearly_does() -> None:
    assert choose(row().float()[None], [asked(temperature=1e-30)]) == [int(row().float().argmax())]


def test_what_is_drawn_follows_the_distribution() -> None:
    logits = torch.log(torch.tensor([0.5, 0.3, 0.15, 0.05]))
    counts = drawn(logits, 4000)
    for token, chance in enumerate((0.5, 0.3, 0.15, 0.05)):
        assert abs(counts[token] / 4000 - chance) < 4 * math.sqrt(chance * (1 - chance) / 4000)


def test_temperature_flattens_it() -> None:
    logits = torch.log(torch.tensor([0.9, 0.1]))
    assert drawn(logits, 2000)[1] < drawn(logits, 2000, temperature=2.0)[1]


def test_top_k_leaves_the_k_best() -> None:
    best = set(row().float().topk(5).indices.tolist())
    assert set(drawn(row().float(), 500, top_k=5)) <= best


def test_top_p_leaves_the_smallest_set_that_holds_p() -> None:
    logits = torch.log(torch.tensor([0.4, 0.3, 0.2, 0.1]))
    assert set(drawn(logits, 500, top_p=0.65)) == {0, 1}
    assert set(drawn(logits, 500, top_p=0.75)) == {0, 1, 2}
    assert set(drawn(logits, 500, top_p=0.01)) == {0}


def test_a_flat_distribution_needs_more_candidates_than_are_looked_at_first() -> None:
    flat = torch.zeros(VOCABULARY) + torch.arange(VOCABULARY) * 1e-4
    assert min(token for token in drawn(flat, 600, top_p=0.5) if token is not None) > VOCABULARY * 0.3
    assert min(token for token in drawn(flat, 600, top_k=3000) if token is not None) >= VOCABULARY - 3000


def test_top_p_counts_within_top_k() -> None:
    logits = torch.log(torch.tensor([0.4, 0.3, 0.2, 0.1]))
    assert set(drawn(logits, 500, top_k=2, top_p=0.5)) == {0}


def test_penalties_push_away_what_was_said() -> None:
    logits = torch.tensor([1.0, 0.9, 0.0])
    assert choose(logits[None].clone(), [asked(temperature=0.0, presence_penalty=0.2, emitted=(0,))]) == [1]
    assert choose(logits[None].clone(), [asked(temperature=0.0, frequency_penalty=0.06, emitted=(0,))]) == [0]
    assert choose(logits[None].clone(), [asked(temperature=0.0, frequency_penalty=0.06, emitted=(0, 0))]) == [1]


def test_a_row_that_is_not_finite_fails_alone() -> None:
    logits = torch.stack([row().float(), torch.full((VOCABULARY,), torch.nan)])
    first, second = choose(logits, [asked(temperature=0.0), asked()])
    assert (first, second) == (int(row().float().argmax()), None)


def test_random_numbers_are_keyed_by_seed_choice_and_position() -> None:
    assert uniform(1, 0, 0) == uniform(1, 0, 0)
    numbers = [uniform(seed, choice, position) for seed in (-5, 0, 7, 2**63) for choice in range(5) for position in range(200)]
    assert len(set(numbers)) == len(numbers)
    assert all(0 <= number < 1 for number in numbers)
    assert abs(sum(numbers) / len(numbers) - 0.5) < 0.02
