import math
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import torch

from gpu.causal import CausalForward
from gpu.engine import Engine
from gpu.kernels import Kernels
from gpu.logprobs import LEAST, distributions
from gpu.requests import Sampling
from tests.gpu.asking import Answered, ask, gathered, request
from tests.gpu.sequences import sequence

SEA = "Write a short poem about the sea."
FREE: dict[str, Any] = {"temperature": 1.0, "seed": 5, "top_p": 0.9, "presence_penalty": 0.6, "max_tokens": 12, "logprobs": 3}


async def test_every_token_but_the_end_has_its_probability_and_the_likeliest_at_its_place(engine: Engine) -> None:
    answered = await ask(engine, "What is the capital of France?", logprobs=2)
    scored = [one for piece in answered.pieces for one in piece.scored]
    end = -1 if answered.finish_reason == "stop" else None
    assert [one.token for one in scored] == list(answered.tokens[:end])
    for one in scored:
        assert one.top[0] == (one.token, one.logprob), "greedy takes the likeliest"
        assert len(one.top) == 2
        assert one.logprob <= 0
        assert one.top[0][1] >= one.top[1][1]
    assert b"".join(engine.piece(one.token)[1] for one in scored).decode() == answered.text


async def test_they_are_the_models_own_whatever_the_sampling(engine: Engine) -> None:
    plain = await ask(engine, SEA, logprobs=1, max_tokens=1)
    bent = await ask(engine, SEA, logprobs=1, max_tokens=1, temperature=1.7, logit_bias={260: 100.0})
    assert bent.tokens == (260,)
    assert bent.pieces[0].scored[0].top == plain.pieces[0].scored[0].top
    assert bent.pieces[0].scored[0].logprob < plain.pieces[0].scored[0].logprob


async def test_asking_for_them_changes_no_token_and_not_asking_costs_nothing(engine: Engine) -> None:
    told, untold = await ask(engine, SEA, **FREE), await ask(engine, SEA, **{**FREE, "logprobs": None})
    assert told.tokens == untold.tokens
    assert not any(piece.scored for piece in untold.pieces)


async def test_an_answer_taken_over_has_the_very_same_ones(engine: Engine) -> None:
    whole = await ask(engine, SEA, **FREE)
    for place in (1, 5, 11):
        rest: Answered = await gathered(engine, request(SEA, **FREE, emitted=whole.tokens[:place]))
        told = [one for piece in rest.pieces for one in piece.scored]
        assert told == [one for piece in whole.pieces for one in piece.scored][place:]


@pytest.mark.parametrize("way", ["kernels", "torch"])
def test_they_are_logarithms_of_probabilities_and_of_equals_the_smaller_id_comes_first(functions: Kernels, way: str) -> None:
    logits = np.array([[0.0, 1.0, 1.0, -np.inf], [5.0, 5.0, 5.0, 5.0]], np.float32)
    wanting = [sequence(1, Sampling(seed=1, logprobs=4)), sequence(1, Sampling(seed=1))]
    forward: Any = Mock(log_probabilities=functions.log_probabilities)
    if way == "torch":
        forward.log_probabilities = lambda row: CausalForward.log_probabilities(forward, torch.tensor(row))
    found = distributions(forward, logits, wanting)
    scored = found.score(0, 3, 4)
    assert scored
    assert scored.logprob == LEAST
    assert [token for token, _ in scored.top] == [1, 2, 0, 3]
    assert sum(math.exp(value) for _, value in scored.top) == pytest.approx(1)
    assert found.score(1, 0, 0) is None
