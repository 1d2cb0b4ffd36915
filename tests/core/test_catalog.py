import pytest

from core.models.catalog import readable


@pytest.mark.parametrize(
    ("model_id", "name"),
    [
        ("llama3.3:70b", "Llama 3.3 70B"),
        ("gpt-4", "GPT-4"),
        ("gpt-4o-mini", "GPT-4o Mini"),
        ("qwen2.5-coder:7b-instruct-q4_K_M", "Qwen 2.5 Coder 7B Instruct q4_K_M"),
        ("mistralai/Mixtral-8x7B-Instruct-v0.1", "Mixtral 8x7B Instruct v0.1"),
        ("nomic-embed-text:latest", "Nomic Embed Text"),
        ("o1", "o1"),
        (":", ":"),
    ],
)
def test_an_id_becomes_a_name_for_people(model_id: str, name: str) -> None:
    assert readable(model_id) == name
