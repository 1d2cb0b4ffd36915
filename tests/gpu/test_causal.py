"""Models of transformers through the engine: the same greedy answers as ``generate``."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import GPT2Config, LlamaConfig, MistralConfig, PreTrainedConfig, PreTrainedModel, Qwen2Config

from core.errors import SettingsError
from core.settings import Settings
from gpu.causal import join_runs
from gpu.engine import Engine, load
from gpu.sources import sources
from tests.gpu import folders
from tests.gpu.asking import ask, request

SHAPE: dict[str, Any] = {
    "vocab_size": folders.VOCABULARY,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
}
CONFIGS: dict[str, Callable[[], PreTrainedConfig]] = {
    "llama": lambda: LlamaConfig(**SHAPE, num_key_value_heads=2, max_position_embeddings=512),
    "qwen2": lambda: Qwen2Config(**SHAPE, num_key_value_heads=2, max_position_embeddings=512),
    "gpt2": lambda: GPT2Config(vocab_size=folders.VOCABULARY, n_embd=64, n_layer=3, n_head=4, n_positions=512),
}
PROMPTS = ["the", "the river rose", "the mill turned " * 12, "miller", "the sea " * 40, "water ran under the bridge", "é 🚀", "and and and"]
TOKENS = 20


class Loaded:
    """A small model, as transformers has it and as the engine has it."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.model: PreTrainedModel = folders.write(folder / name, CONFIGS[name]())
        settings = Settings(data_dir=folder, local_models=(folder / name,), device="cpu")
        (source,) = sources(settings)
        self.engine: Engine = load(source, settings, threads=1, max_batch=6)


@pytest.fixture(scope="module", params=sorted(CONFIGS))
def loaded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loaded]:
    made = Loaded(request.param, tmp_path_factory.mktemp("models"))
    yield made
    made.engine.close()


def generated(loaded: Loaded, prompt: str) -> list[int]:
    """What transformers' own ``generate`` answers, up to the end it may come to."""
    text = folders.tokenizer().apply_chat_template([{"role": "user", "content": prompt}], add_generation_prompt=True, tokenize=False)
    ids = folders.tokenizer()(text, return_tensors="pt")
    model: Any = loaded.model
    made = model.generate(ids["input_ids"], attention_mask=ids["attention_mask"], max_new_tokens=TOKENS, do_sample=False, pad_token_id=0)
    answer: list[int] = made[0, ids["input_ids"].shape[1] :].tolist()
    return answer


async def test_greedy_answers_are_those_of_generate(loaded: Loaded) -> None:
    wanted = [await asyncio.to_thread(generated, loaded, prompt) for prompt in PROMPTS]
    assert len({tuple(answer) for answer in wanted}) > 4, "answers that do not depend on the prompt would show nothing"
    alone = [await ask(loaded.engine, prompt, max_tokens=TOKENS) for prompt in PROMPTS]
    assert [list(answer.tokens) for answer in alone] == wanted
    together = await asyncio.gather(*(ask(loaded.engine, prompt, max_tokens=TOKENS) for prompt in PROMPTS))
    assert [list(answer.tokens) for answer in together] == wanted


async def test_an_answer_goes_on_from_its_tokens(loaded: Loaded) -> None:
    whole = await ask(loaded.engine, PROMPTS[1], max_tokens=TOKENS)
    rest = await ask(loaded.engine, PROMPTS[1], max_tokens=TOKENS, emitted=whole.tokens[:7])
    assert whole.tokens[:7] + rest.tokens == whole.tokens
    assert loaded.engine.continued == "equivalent"


async def test_an_answer_may_fill_the_context(loaded: Loaded) -> None:
    prompt = "the river rose " * 155
    length = loaded.engine.count_prompt(request(prompt).messages)
    assert loaded.engine.context_length == 512
    answered = await asyncio.gather(
        *(ask(loaded.engine, prompt, max_tokens=None, logit_bias={0: -100.0}) for _ in range(3)), ask(loaded.engine, "the")
    )
    assert {(len(answer.tokens), answer.finish_reason) for answer in answered[:3]} == {(512 - length, "length")}


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (MistralConfig(**SHAPE, num_key_value_heads=2, sliding_window=16), "sliding-window"),
    ],
    ids=["sliding windows"],
)
def test_a_model_that_needs_another_cache_is_refused(tmp_path: Path, config: PreTrainedConfig, words: str) -> None:
    folders.write(tmp_path / "other", config)
    settings = Settings(data_dir=tmp_path, local_models=(tmp_path / "other",), device="cpu")
    (source,) = sources(settings)
    with pytest.raises(SettingsError, match=words):
        load(source, settings)


def test_a_folder_that_is_no_model_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "broken"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "unheard of"}')
    (folder / "model.safetensors").write_bytes(b"")
    settings = Settings(data_dir=tmp_path, local_models=(folder,), device="cpu")
    (source,) = sources(settings)
    with pytest.raises(SettingsError, match="cannot be loaded"):
        load(source, settings)


def test_prompts_of_about_one_length_share_a_call() -> None:
    assert join_runs([(0, 40), (40, 84), (84, 130), (130, 134)]) == [[(130, 134)], [(0, 40), (40, 84), (84, 130)]]


def test_float32_on_a_processor(loaded: Loaded) -> None:
    assert loaded.model.dtype == torch.float32
