"""Answers that are taken over again and again, and held against those that nobody disturbed."""

import random
from collections.abc import Iterator

import msgspec
import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from gpu.completion import Completion
from gpu.config import EngineConfig
from gpu.llama import LlamaForward
from gpu.requests import Piece, Request, Sampling
from gpu.runner import Runner
from gpu.scheduler import Scheduler
from gpu.sequence import Sequence

ANSWER_TOKENS = 14
GOING_ON_FOR = 3
ROWS = 6
LENGTH = 1024  # tokens of a row of the cache
NEVER = 1 << 30  # nothing is taken over from other rows: as on another worker, all is computed anew
Logits = npt.NDArray[np.float32]


class Undisturbed(msgspec.Struct, frozen=True):
    """An answer made alone: its prompt, its tokens, and the logits that each was chosen from."""

    prompt: list[int]
    sampling: Sampling
    tokens: list[int]
    logits: list[Logits]


class TakenOver(msgspec.Struct, frozen=True):
    """The rest of an answer that somebody else had begun. ``exact``: same tokens, and each from the same logits, bit for bit."""

    prompt_tokens: int
    place: int
    exact: bool


class Bench:
    """A scheduler and a model without a thread, one step at a time; it keeps the logits of each sequence."""

    def __init__(self, forward: LlamaForward, tokenizer: Tokenizer, least_shared: int) -> None:
        self.forward = forward
        self._runner = Runner(forward)
        self._tokenizer = tokenizer
        self.scheduler = Scheduler(EngineConfig(rows=ROWS, least_shared=least_shared))
        self.seen: dict[Sequence, list[Logits]] = {}

    def add(self, prompt: list[int], sampling: Sampling, emitted: list[int], more: int) -> Sequence:
        """An answer to go on with for some tokens."""
        answer = Completion(self._tokenizer, ends=frozenset(), stops=(), room=more)
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
        for sequence, row, token in zip(ready, logits, self.forward.choose(logits.copy(), ready), strict=True):
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


def samplings(dice: random.Random) -> Iterator[Sampling]:
    """Of many kinds."""
    while True:
        yield Sampling(temperature=0.0, seed=0)
        yield Sampling(temperature=1.0, seed=dice.getrandbits(40), top_p=0.9, presence_penalty=0.5)
        yield Sampling(temperature=0.8, seed=-3, top_k=40, frequency_penalty=0.7, logit_bias={17: 3.0})


def taken_over(
    bench: Bench, answers: list[Undisturbed], *, times: int, threads: tuple[int, ...], dice: random.Random
) -> Iterator[TakenOver]:
    """Take answers over at random tokens, beside random neighbours, in pieces of random size, each step on another number of threads."""
    running: dict[Sequence, tuple[Undisturbed, int]] = {}
    left = times
    while left or running:
        bench.scheduler.prefill_tokens = dice.choice((3, 16, 33, 64, 128, 200))
        bench.forward.threads = dice.choice(threads)
        while left and len(running) < ROWS and dice.random() < 0.6:
            answer, place = dice.choice(answers), dice.randrange(ANSWER_TOKENS - GOING_ON_FOR + 1)
            sequence = bench.add(answer.prompt, answer.sampling, answer.tokens[:place], GOING_ON_FOR)
            running[sequence] = answer, place
            left -= 1
        if running:
            bench.step()
        for sequence in [sequence for sequence in running if sequence.ended]:
            answer, place = running.pop(sequence)
            stop = place + GOING_ON_FOR
            same = map(np.array_equal, bench.seen.pop(sequence), answer.logits[place:stop])
            exact = sequence.ids == answer.prompt + answer.tokens[:stop] and list(same) == [True] * GOING_ON_FOR
            yield TakenOver(len(answer.prompt), place, exact)


def taking_over(
    forward: LlamaForward,
    tokenizer: Tokenizer,
    prompts: list[list[int]],
    *,
    times: int,
    threads: tuple[int, ...],
    least_shared: int = NEVER,
) -> Iterator[TakenOver]:
    """Have the prompts answered on the first of ``threads`` with nobody beside them, then take the answers over so many times."""
    dice = random.Random(times)
    forward.allocate(ROWS, LENGTH)
    forward.threads = threads[0]
    bench = Bench(forward, tokenizer, least_shared)
    answers = [alone(bench, prompt, sampling) for prompt, sampling in zip(prompts, samplings(dice), strict=False)]
    yield from taken_over(bench, answers, times=times, threads=threads, dice=dice)
