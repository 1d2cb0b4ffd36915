import pytest

from core.models.catalog import display_name


@pytest.mark.parametrize(
    ("model_id", "name"),
    [
        ("llama3.3:70b", "Llama 3.3 70B"),
        ("gpt-4", "GPT-4"),
        ("gpt-4o-mini", "GPT-4o Mini"),
        ("qwen2.5-coder:7b-instruct-q4_K_M", "Qwen 2.5 Coder 7B Instruct q4_K_M"),
        ("mistralai/Mixtral-8x7B-Instruct-v0.1", "Mixtral 8x7B Instruct v0.1"),
        ("nomic-embed-text:latest", "Nomic Embed Text"),
        ("smollm2-135m-instruct", "SmolLM2 135M Instruct"),
        ("HuggingFaceTB/SmolLM2-1.7B-Instruct", "SmolLM2 1.7B Instruct"),
        ("smollm:360m", "SmolLM 360M"),
        ("deepseek-coder-v2:16b", "DeepSeek Coder v2 16B"),
        ("deepseek-ai/DeepSeek-V3", "DeepSeek V3"),
        ("TinyLlama/TinyLlama-1.1B-Chat-v1.0", "TinyLlama 1.1B Chat v1.0"),
        ("codellama:34b", "CodeLlama 34B"),
        ("starcoder2:3b", "StarCoder2 3B"),
        ("olmo2:13b", "OLMo2 13B"),
        ("gpt-oss:20b", "GPT-OSS 20B"),
        ("gpt-3.5-turbo", "GPT-3.5 Turbo"),
        ("qwq", "QwQ"),
        ("phi3:mini", "Phi 3 Mini"),
        ("gemma2", "Gemma 2"),
        ("all-minilm:33m", "All MiniLM 33M"),
        ("sentence-transformers/all-MiniLM-L6-v2", "All MiniLM L6 v2"),
        ("BAAI/bge-m3", "BGE m3"),
        ("meta-llama/Llama-3.2-1B-Instruct", "Llama 3.2 1B Instruct"),
        ("my own MODEL", "My Own MODEL"),
        ("o1", "o1"),
        (":", ":"),
    ],
)
def test_an_id_becomes_a_name_for_people(model_id: str, name: str) -> None:
    assert display_name(model_id) == name
