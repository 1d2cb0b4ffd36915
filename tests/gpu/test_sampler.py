import math
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from gpu import sampler, torch_sampler
from gpu.kernels import Kernels
from gpu.requests import Sampling
from gpu.sampler import uniform
from gpu.sequence import Sequence
from tests.gpu.sequences import sequence

VOCABULARY = 5000


Rows = npt.NDArray[np.float32]
Choose = Callable[[Rows, list[Sequence]], list[int | None]]


@pytest.fixture(params=["kernels", "torch"])
def choose(request: pytest.FixtureRequest, functions: Kernels) -> Choose:
    """Either way to draw. The rows stay as they are."""
    if request.param == "kernels":
        return lambda rows, sequences: sampler.choose(functions, rows.copy(), sequences)
    return lambda rows, sequences: torch_sampler.choose(torch.tensor(rows), sequences)


def row(seed: int = 0, spread: float = 3.0) -> Rows:
    """Logits with many equals."""
    scores: Rows = (np.round(np.random.default_rng(seed).normal(0, spread, VOCABULARY) * 8) / 8).astype(np.float32)
    return scores


def uneven(seed: int = 0) -> Rows:
    """Logits without equals."""
    scores: Rows = np.random.default_rng(seed).normal(0, 3, VOCABULARY).astype(np.float32)
    return scores


def logs(*chances: float) -> Rows:
    return np.log(np.array(chances, np.float32))


def asked(emitted: tuple[int, ...] = (), choice: int = 0, **sampling: Any) -> Sequence:
    return sequence(3, Sampling(**{"temperature": 1.0, "seed": 1, **sampling}), choice=choice, emitted=emitted)


def drawn(choose: Choose, logits: Rows, times: int, **sampling: Any) -> Counter[int | None]:
    """What many seeds choose."""
    return Counter(choose(np.tile(logits, (times, 1)), [asked(seed=seed, **sampling) for seed in range(times)]))


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
def test_neighbours_change_nothing(choose: Choose, kind: dict[str, Any]) -> None:
    logits = np.stack([row(seed) for seed in range(32)])
    alone = [choose(logits[place : place + 1], [asked(**kind, seed=place)])[0] for place in range(32)]
    assert choose(logits, [asked(**kind, seed=place) for place in range(32)]) == alone
    mixed = [asked(**(kind if place % 2 else KINDS[place // 2 % len(KINDS)]), seed=place) for place in range(32)]
    assert choose(logits, mixed)[1::2] == alone[1::2]


def test_temperature_0_takes_the_best(choose: Choose) -> None:
    assert choose(row()[None], [asked(temperature=0.0)]) == [int(row().argmax())]


def test_a_temperature_close_to_0_nearly_does(choose: Choose) -> None:
    assert choose(uneven()[None], [asked(temperature=1e-30)]) == [int(uneven().argmax())]


def test_what_is_drawn_follows_the_distribution(choose: Choose) -> None:
    logits = logs(0.5, 0.3, 0.15, 0.05)
    counts = drawn(choose, logits, 4000)
    for token, chance in enumerate((0.5, 0.3, 0.15, 0.05)):
        assert abs(counts[token] / 4000 - chance) < 4 * math.sqrt(chance * (1 - chance) / 4000)


def test_temperature_flattens_it(choose: Choose) -> None:
    logits = logs(0.9, 0.1)
    assert drawn(choose, logits, 2000)[1] < drawn(choose, logits, 2000, temperature=2.0)[1]


def test_top_k_leaves_the_k_best(choose: Choose) -> None:
    best = set(np.argsort(uneven())[-5:].tolist())
    assert set(drawn(choose, uneven(), 500, top_k=5)) <= best


def test_top_p_leaves_the_smallest_set_that_holds_p(choose: Choose) -> None:
    logits = logs(0.4, 0.3, 0.2, 0.1)
    assert set(drawn(choose, logits, 500, top_p=0.65)) == {0, 1}
    assert set(drawn(choose, logits, 500, top_p=0.75)) == {0, 1, 2}
    assert set(drawn(choose, logits, 500, top_p=0.01)) == {0}


def test_a_flat_distribution_needs_more_candidates_than_are_looked_at_first(choose: Choose) -> None:
    flat = np.arange(VOCABULARY, dtype=np.float32) * np.float32(1e-4)
    assert min(token for token in drawn(choose, flat, 600, top_p=0.5) if token is not None) > VOCABULARY * 0.3
    assert min(token for token in drawn(choose, flat, 600, top_k=3000) if token is not None) >= VOCABULARY - 3000


def test_top_p_counts_within_top_k(choose: Choose) -> None:
    logits = logs(0.4, 0.3, 0.2, 0.1)
    assert set(drawn(choose, logits, 500, top_k=2, top_p=0.5)) == {0}


def test_penalties_push_away_what_was_said(choose: Choose) -> None:
    logits = np.array([1.0, 0.9, 0.0], np.float32)
    assert choose(logits[None], [asked(temperature=0.0, presence_penalty=0.2, emitted=(0,))]) == [1]
    assert choose(logits[None], [asked(temperature=0.0, frequency_penalty=0.06, emitted=(0,))]) == [0]
    assert choose(logits[None], [asked(temperature=0.0, frequency_penalty=0.06, emitted=(0, 0))]) == [1]


def test_a_row_that_is_not_finite_fails_alone(choose: Choose) -> None:
    broken = uneven(1)
    broken[77] = np.nan
    logits = np.stack([row(), np.full(VOCABULARY, np.nan, np.float32), broken, np.full(VOCABULARY, -np.inf, np.float32)])
    assert choose(logits, [asked(temperature=0.0), asked(), asked(), asked(temperature=0.0)]) == [int(row().argmax()), None, None, None]


def test_both_ways_choose_the_same(functions: Kernels) -> None:
    logits = np.stack([uneven(seed) for seed in range(64)])
    for kind in KINDS:
        sequences = [asked(**{**kind, "seed": place}) for place in range(64)]
        assert sampler.choose(functions, logits.copy(), sequences) == torch_sampler.choose(torch.tensor(logits), sequences), kind


def test_a_vocabulary_of_any_size_is_drawn_from_to_its_last_token(functions: Kernels) -> None:
    for size in (1, 2, 15, 16, 17, 255, 256, 257, 1000):
        rows = np.zeros((1, size), np.float32)
        assert functions.draw(rows[0], temperature=1.0, top_p=1.0, top_k=0, number=0.0) == 0
        assert functions.draw(rows[0], temperature=1.0, top_p=1.0, top_k=0, number=1 - 2**-48) == size - 1


def test_random_numbers_are_keyed_by_seed_choice_and_position() -> None:
    assert uniform(1, 0, 0) == uniform(1, 0, 0)
    numbers = [uniform(seed, choice, position) for seed in (-5, 0, 7, 2**63) for choice in range(5) for position in range(200)]
    assert len(set(numbers)) == len(numbers)
    assert all(0 <= number < 1 for number in numbers)
    assert abs(sum(numbers) / len(numbers) - 0.5) < 0.02
