"""What the figures of quality count; and that the starter model's logits are its weights' own."""

import math
from pathlib import Path

import pytest
import torch

from gpu.gguf_to_transformers import as_transformers
from gpu.kernels import Kernels
from gpu.llama import LlamaForward
from gpu.packing import load_packed
from gpu.runner import Runner
from gpu.tokenizer import of_gguf
from tests.gpu.agreement import Agreement, agreement, spoken
from tests.gpu.asking import Started
from tests.gpu.questions import QUESTIONS


def test_logits_that_only_differ_by_a_constant_agree_everywhere() -> None:
    reference = torch.randn(5, 11, generator=torch.Generator().manual_seed(1))
    found = Agreement.between(reference + 3, reference)
    assert (found.positions, found.share, found.ties) == (5, 1.0, 0)
    assert found.mean_divergence < 1e-9


def test_divergence_is_the_references_from_ours_in_nats() -> None:
    found = Agreement.between(torch.tensor([[0.25, 0.75]]).log(), torch.tensor([[0.5, 0.5]]).log())
    assert math.isclose(found.divergence, 0.5 * math.log(0.5 / 0.25) + 0.5 * math.log(0.5 / 0.75), rel_tol=1e-6)


def test_two_highest_logits_that_are_equal_are_a_tie_and_two_lower_ones_are_not() -> None:
    ours = torch.tensor([[25.25, 25.25, 0.0], [1.0, 1.0, 2.0]])
    found = Agreement.between(ours, torch.tensor([[0.0, 9.0, 0.0], [0.0, 1.0, 2.0]]))
    assert (found.ties, found.agreeing) == (1, 1)


def test_figures_of_several_answers_add_up() -> None:
    one, other = Agreement(positions=3, agreeing=3, divergence=0.1), Agreement(positions=1, agreeing=0, divergence=0.3, ties=1)
    assert one + other == Agreement(positions=4, agreeing=3, divergence=0.4, ties=1)
    assert (one + other).share == 0.75


def test_the_starter_models_logits_are_those_of_its_weights_in_float32(first_start: Started, model_cache: Path, functions: Kernels) -> None:
    path = first_start.source.path
    forward, words = LlamaForward(*load_packed(path, model_cache, pytest.fail), functions), of_gguf(path, model_cache, pytest.fail)
    forward.allocate(8, 512)
    prompts = [words.prompt([{"role": "user", "content": question}]) for question in QUESTIONS[:8]]
    found = agreement(Runner(forward), list(spoken(as_transformers(path, "float32"), prompts, words.ends, 16)), 8)
    assert found.positions > 60
    assert found.share == 1
    assert found.ties == 0
    assert found.mean_divergence < 1e-6
