"""The central promise: the same logits to the last bit, whoever shares the batch, however the prompt is cut, wherever it is taken over."""

import random
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

from gpu.forward import Batch
from gpu.kernels import Kernels
from gpu.llama import Floats, LlamaForward
from gpu.packing import load_packed
from gpu.sources import starter
from gpu.tokenizer import TOKENIZER_FILE
from tests.gpu import tiny_llama
from tests.gpu.taking_over import ANSWER_TOKENS, LENGTH, NEVER, taking_over


def check(
    forward: LlamaForward,
    tokenizer: Tokenizer,
    *,
    prompts: list[list[int]],
    times: int,
    threads: tuple[int, ...] = (1, 2, 3),
    least_shared: int = NEVER,
) -> None:
    found = list(taking_over(forward, tokenizer, prompts, times=times, threads=threads, least_shared=least_shared))
    assert len(found) == times
    assert [taken for taken in found if not taken.exact] == []


@pytest.fixture(scope="module")
def starter_forward(model_cache: Path, functions: Kernels) -> LlamaForward:
    (source,) = starter()
    return LlamaForward(*load_packed(source.path, model_cache, lambda _: None), functions)


@pytest.fixture(scope="module")
def tokenizer(model_cache: Path) -> Tokenizer:
    return Tokenizer.from_file(str(model_cache / TOKENIZER_FILE))


@pytest.fixture(scope="module")
def text(tokenizer: Tokenizer) -> list[int]:
    ids: list[int] = tokenizer.encode("When the water was high, the miller told the children who lived by the river a story. " * 60).ids
    return ids


@pytest.mark.timeout(400)
def test_the_starter_model_taken_over_200_times_gives_the_same_logits_to_the_last_bit(
    starter_forward: LlamaForward, tokenizer: Tokenizer, text: list[int]
) -> None:
    prompts = [
        text[start : start + length] for start, length in ((0, 1), (2, 7), (5, 12), (30, 31), (9, 40), (3, 63), (4, 64), (50, 65), (8, 118))
    ]
    check(starter_forward, tokenizer, prompts=prompts, times=200)


@pytest.mark.timeout(400)
def test_what_is_taken_over_from_other_rows_is_the_same_too(starter_forward: LlamaForward, tokenizer: Tokenizer, text: list[int]) -> None:
    check(starter_forward, tokenizer, prompts=[text[:90], text[:70] + text[5:30], text[:100], text[20:50]], times=40, least_shared=8)


@pytest.mark.timeout(300)
def test_nor_does_a_prompt_of_many_blocks_change_it(starter_forward: LlamaForward, tokenizer: Tokenizer, text: list[int]) -> None:
    check(starter_forward, tokenizer, prompts=[text[: LENGTH - ANSWER_TOKENS], text[2:9], text[:507]], times=6)


@pytest.mark.parametrize("threads", [(1,), (7,), (1, 2, 3)], ids=str)
def test_a_small_llama_taken_over_is_the_same_whatever_the_number_of_threads(
    tmp_path: Path, tokenizer: Tokenizer, functions: Kernels, threads: tuple[int, ...]
) -> None:
    config, weights = load_packed(tiny_llama.write(tmp_path / "tiny.gguf"), tmp_path, lambda _: None)
    dice = random.Random(3)
    prompts = [[dice.randrange(tiny_llama.VOCABULARY) for _ in range(length)] for length in (1, 6, 30, 64, 129, 300, 700, 1000)]
    check(LlamaForward(config, weights, functions), tokenizer, prompts=prompts, times=60, threads=threads)


class Wavering(LlamaForward):
    """Another last bit for whoever is not alone."""

    def __call__(self, batch: Batch) -> Floats:
        logits = super().__call__(batch)
        return np.nextafter(logits, np.float32(np.inf)) if len(batch.runs) > 1 else logits


def test_one_other_bit_is_seen(tmp_path: Path, tokenizer: Tokenizer, functions: Kernels) -> None:
    packed = load_packed(tiny_llama.write(tmp_path / "tiny.gguf"), tmp_path, lambda _: None)
    found = list(taking_over(Wavering(*packed, functions), tokenizer, [[5] * 9, [6] * 20], times=20, threads=(1,)))
    assert not all(taken.exact for taken in found)
