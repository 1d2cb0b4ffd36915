from typing import Any

import msgspec
import pytest

from core.errors import BadRequest
from core.json.decoding import decode
from core.models.catalog import CustomModel
from core.models.completions import CompletionRequest
from core.services.models.parameters import apply_custom_model, fill_in

CUSTOM = CustomModel(
    id="c", name="C", base_model_id="b", user_id="u", params={"temperature": 0.5, "system": "S"}, created_at=1, updated_at=1
)


def test_what_is_given_wins_and_null_stands_for_nothing() -> None:
    params = {"temperature": 0.5, "top_p": 0.9, "seed": 1}
    assert fill_in({"temperature": 0, "top_p": None}, params) == {"temperature": 0, "top_p": 0.9, "seed": 1}


def test_the_two_names_of_a_length_are_one() -> None:
    assert fill_in({"max_tokens": 5}, {"max_completion_tokens": 9}) == {"max_tokens": 5}


def test_what_is_no_parameter_stays_behind_and_custom_ones_come_along() -> None:
    params = {"system": "S", "messages": [], "function_calling": "native", "custom_params": {"mirostat": 1}, "min_p": 0.1}
    assert fill_in({}, params) == {"mirostat": 1, "min_p": 0.1}


def applied(body: bytes, **params: Any) -> tuple[CompletionRequest, dict[str, Any]]:
    """The request and its body, after a custom model with these parameters."""
    custom = msgspec.structs.replace(CUSTOM, params=params)
    request, rewritten = apply_custom_model(decode(body, CompletionRequest), body, custom)
    given: dict[str, Any] = msgspec.json.decode(rewritten)
    assert decode(rewritten, CompletionRequest) == request
    return request, given


def test_a_request_and_its_body_are_rewritten_for_the_base() -> None:
    request, body = applied(b'{"model":"c","messages":[{"role":"user","content":"hi"}],"tools":[1]} \n', temperature=0.5, system="S")
    assert body == {"model": "b", "messages": [{"role": "user", "content": "hi"}], "tools": [1], "temperature": 0.5}
    assert (request.model, request.temperature, request.tools) == ("b", 0.5, [1])


def test_what_a_body_says_wins_whether_a_request_names_it_or_not() -> None:
    body = b'{"model":"c","messages":[{}],"seed":1,"top_p":null,"mirostat":2,"min_p":null}'
    request, given = applied(body, seed=7, top_p=0.5, mirostat=1, min_p=0.1, repeat_penalty=1.1)
    assert given == {
        "model": "b",
        "messages": [{}],
        "seed": 1,
        "top_p": 0.5,
        "mirostat": 2,
        "min_p": 0.1,
        "repeat_penalty": 1.1,
    }
    assert (request.seed, request.top_p) == (1, 0.5)


def test_a_custom_models_whole_numbers_may_have_a_fraction_and_its_faults_are_named() -> None:
    assert applied(b'{"model":"c","messages":[{}]}', seed=7.0)[0].seed == 7
    with pytest.raises(BadRequest, match="temperature must be a number from 0 to 2") as caught:
        applied(b'{"model":"c","messages":[{}]}', custom_params={"temperature": 9})
    assert caught.value.param == "temperature"
