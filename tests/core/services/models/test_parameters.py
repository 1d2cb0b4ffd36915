import msgspec

from core.models.catalog import CustomModel
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


def test_a_body_is_rewritten_for_the_base() -> None:
    body = apply_custom_model(b'{"model":"c","messages":[{"role":"user","content":"hi"}],"tools":[1]}', CUSTOM)
    assert msgspec.json.decode(body) == {
        "model": "b",
        "messages": [{"role": "user", "content": "hi"}],
        "tools": [1],
        "temperature": 0.5,
    }
