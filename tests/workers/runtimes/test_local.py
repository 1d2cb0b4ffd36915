import pytest

from core.errors import BadRequest
from core.models.completions import CompletionRequest
from gpu.sources import Recommended
from workers.runtimes.local import sampling_of

ASKED = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
RECOMMENDED = Recommended(temperature=0.2, top_p=0.9, top_k=40)


def asked(**members: object) -> CompletionRequest:
    return CompletionRequest(**{**ASKED, **members})  # type: ignore[arg-type]  # whatever a test gives


def test_a_request_that_says_nothing_is_sampled_as_the_models_makers_recommend() -> None:
    sampling = sampling_of(asked(), 7, RECOMMENDED)
    assert (sampling.temperature, sampling.top_p, sampling.top_k, sampling.seed) == (0.2, 0.9, 40, 7)


def test_what_a_request_says_wins_zero_included() -> None:
    sampling = sampling_of(asked(temperature=0.0, top_p=1.0, top_k=0), 7, RECOMMENDED)
    assert (sampling.temperature, sampling.top_p, sampling.top_k) == (0.0, 1.0, 0)


def test_no_limit_of_candidates_may_be_written_as_vllms_clients_write_it() -> None:
    assert sampling_of(asked(top_k=-1), 7, RECOMMENDED).top_k == 0


def test_one_stop_string_or_several_and_either_name_of_the_limit() -> None:
    assert sampling_of(asked(stop="a", max_tokens=3), 1, RECOMMENDED).stop == ("a",)
    sampling = sampling_of(asked(stop=["a", "", "b"], max_tokens=3, max_completion_tokens=2), 1, RECOMMENDED)
    assert (sampling.stop, sampling.max_tokens) == (("a", "b"), 2)


def test_without_a_limit_in_the_request_an_answer_ends_where_the_makers_say() -> None:
    bounded = Recommended(max_new_tokens=1024)
    assert sampling_of(asked(), 1, bounded).max_tokens == 1024
    assert sampling_of(asked(max_tokens=4000), 1, bounded).max_tokens == 4000
    assert sampling_of(asked(), 1, RECOMMENDED).max_tokens is None


def test_logit_bias_wants_token_ids() -> None:
    assert sampling_of(asked(logit_bias={"5": -100}), 1, RECOMMENDED).logit_bias == {5: -100}
    with pytest.raises(BadRequest, match="token ids"):
        sampling_of(asked(logit_bias={"five": 1}), 1, RECOMMENDED)


def test_probabilities_are_told_only_where_they_are_asked_for() -> None:
    assert sampling_of(asked(), 1, RECOMMENDED).logprobs is None
    assert sampling_of(asked(logprobs=False, top_logprobs=None), 1, RECOMMENDED).logprobs is None
    assert sampling_of(asked(logprobs=True), 1, RECOMMENDED).logprobs == 0
    assert sampling_of(asked(logprobs=True, top_logprobs=5), 1, RECOMMENDED).logprobs == 5
