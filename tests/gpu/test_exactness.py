"""The central promise: the same logits to the last bit, whoever shares the batch, however the prompt is cut, wherever it is taken over."""

import random
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
import pytest
from tokenizers import Tokenizer

from gpu.answer import Answer
from gpu.config import EngineConfig
from gpu.kernels import Kernels
from gpu.llama import LlamaForward
from gpu.packing import load_packed
from gpu.requests import Piece, Request, Sampling
from gpu.runner import Runner
from gpu.scheduler import Scheduler
from gpu.sequence import Sequence
from gpu.sources import starter
from gpu.tokenizer import TOKENIZER_FILE
from tests.gpu import tiny_llama

ANSWER_TOKENS = 14
GOING_ON_FOR = 3
ROWS = 6
Logits = npt.NDArray[np.float32]
NEVER = 1 << 30  # nothing is taken over from other rows: as on another worker, all is computed anew


class Undisturbed(msgspec.Struct, frozen=True):
    """An answer made alone: its prompt, its tokens, and the logits that each was chosen from."""

    prompt: list[int]
    sampling: Sampling
    tokens: list[int]
    logits: list[Logits]


class Bench:
    """A scheduler and a model without a thread, one step at a time; it keeps the logits of each sequence."""

    def __init__(self, forward: LlamaForward, tokenizer: Tokenizer, least_shared: int) -> None:
        self._runner = Runner(forward)
        self._tokenizer = tokenizer
        self.scheduler = Scheduler(EngineConfig(rows=ROWS, least_shared=least_shared))
        self.seen: dict[Sequence, list[Logits]] = {}

    def add(self, prompt: list[int], sampling: Sampling, emitted: list[int], more: int) -> Sequence:
        """An answer to go on with for some tokens."""
        answer = Answer(self._tokenizer, ends=frozenset(), stops=(), room=more)
        asked = Request(id="", messages=[], sampling=sampling, emitted=tuple(emitted))
        sequence = Sequence(asked, list(prompt), answer, _ignore)
        self.scheduler.add(sequence)
        self.seen[sequence] = []
        return sequence

    def step(self) -> None:
        """What the engine's thread does."""
        self.scheduler.sweep()
        works = self.scheduler.plan()
        self._runner.prepare(self.scheduler.released, self.scheduler.copies)
        logits = self._runner.run(works)
        ready = [work.sequence for work in works if work.completes]
        for work in works:
            work.sequence.computed = work.stop
        for sequence, row, token in zip(ready, logits, self._runner.forward.choose(logits.copy(), ready), strict=True):
            assert token is not None
            self.seen[sequence].append(row.copy())
            sequence.accept(token)


def _ignore(_: Piece | Exception) -> None:
    """Nobody reads these."""


def alone(bench: Bench, prompt: list[int], sampling: Sampling) -> Undisturbed:
    """The answer with nobody beside it."""
    sequence = bench.add(prompt, sampling, [], ANSWER_TOKENS)
    while not sequence.ended:
        bench.step()
    return Undisturbed(prompt, sampling, sequence.ids[len(prompt) :], bench.seen.pop(sequence))


def take_over(
    bench: Bench, answers: list[Undisturbed], times: int, dice: random.Random
) -> Iterator[tuple[Undisturbed, int, Sequence, list[Logits]]]:
    """Take answers over at random tokens, beside random neighbours, in pieces of random size: (answer, place, sequence, its logits)."""
    running: dict[Sequence, tuple[Undisturbed, int]] = {}
    left = times
    while left or running:
        bench.scheduler.prefill_tokens = dice.choice((3, 16, 33, 64, 128, 200))
        while left and len(running) < ROWS and dice.random() < 0.6:
            answer, place = dice.choice(answers), dice.randrange(ANSWER_TOKENS - GOING_ON_FOR + 1)
            sequence = bench.add(answer.prompt, answer.sampling, answer.tokens[:place], GOING_ON_FOR)
            running[sequence] = answer, place
            left -= 1
        if running:
            bench.step()
        for sequence in [sequence for sequence in running if sequence.ended]:
            yield *running.pop(sequence), sequence, bench.seen.pop(sequence)


def samplings(dice: random.Random) -> Iterator[Sampling]:
    while True:
        yield Sampling(temperature=0.0, seed=0)
        yield Sampling(temperature=1.0, seed=dice.getrandbits(40), top_p=0.9, presence_penalty=0.5)
        yield Sampling(temperature=0.8, seed=-3, top_k=40, frequency_penalty=0.7, logit_bias={17: 3.0})


def check(forward: LlamaForward, tokenizer: Tokenizer, *, prompts: list[list[int]], times: int, least_shared: int = NEVER) -> None:
    dice = random.Random(times)
    forward.allocate(ROWS, 1024)
    bench = Bench(forward, tokenizer, least_shared)
    answers = [alone(bench, prompt, sampling) for prompt, sampling in zip(prompts, samplings(dice), strict=False)]
    count = 0
    for answer, place, sequence, logits in take_over(bench, answers, times, dice):
        assert sequence.ids == answer.prompt + answer.tokens[: place + GOING_ON_FOR]
        for step, row in enumerate(logits):
            assert np.array_equal(row, answer.logits[place + step]), (len(answer.prompt), place, step)
        count += 1
    assert count == times


@pytest.fixture(scope="module")
def starter_forward(model_cache: Path, functions: Kernels) -> LlamaForward:
    (source,) = starter()
    return LlamaForward(*load_packed(source.path, model_cache, lambda _: None), functions)


@pytest.fixture(scope="module")
def tokenizer(model_cache: Path) -> Tokenizer:
    return Tokenizer.from_file(str(model_cache / TOKENIZER_FILE))


@pytest.mark.timeout(400)
def test_the_starter_model_taken_over_200_times_gives_the_same_logits_to_the_last_bit(
    starter_forward: LlamaForward, tokenizer: Tokenizer
) -> None:
    text: list[int] = tokenizer.encode("When the water was high, the miller told the children who lived by the river a story. " * 40).ids
    prompts = [
        text[start : start + length] for start, length in ((0, 1), (2, 7), (5, 12), (30, 31), (9, 40), (3, 63), (4, 64), (50, 65), (8, 118))
    ]
    check(starter_forward, tokenizer, prompts=prompts, times=200)


@pytest.mark.timeout(400)
def test_what_is_taken_over_from_other_rows_is_the_same_too(starter_forward: LlamaForward, tokenizer: Tokenizer) -> None:
    text: list[int] = tokenizer.encode("When the water was high, the miller told the children who lived by the river a story. " * 40).ids
    check(starter_forward, tokenizer, prompts=[text[:90], text[:70] + text[5:30], text[:100], text[20:50]], times=40, least_shared=8)


@pytest.mark.timeout(300)
def test_nor_does_a_prompt_of_many_blocks_change_it(starter_forward: LlamaForward, tokenizer: Tokenizer) -> None:
    text: list[int] = tokenizer.encode("When the water was high, the miller told the children who lived by the river a story. " * 40).ids
    check(starter_forward, tokenizer, prompts=[text[:507], text[2:9]], times=6)


@pytest.mark.parametrize("threads", [1, 3, 7])
def test_a_small_llama_taken_over_is_the_same_whatever_the_number_of_threads(
    tmp_path: Path, tokenizer: Tokenizer, functions: Kernels, threads: int
) -> None:
    config, weights = load_packed(tiny_llama.write(tmp_path / "tiny.gguf"), tmp_path, lambda _: None)
    dice = random.Random(threads)
    prompts = [[dice.randrange(tiny_llama.VOCABULARY) for _ in range(length)] for length in (1, 6, 30, 64, 129, 300, 700)]
    forward = LlamaForward(config, weights, functions)
    forward.threads = threads
    check(forward, tokenizer, prompts=prompts, times=60)
