"""How far a model's logits are from a reference's, over answers that the reference has given."""

from collections.abc import Iterator
from collections.abc import Sequence as Several
from typing import Any, Self, cast

import msgspec
import torch
from transformers import GenerationConfig, LlamaForCausalLM

from gpu.config import EngineConfig
from gpu.runner import Runner
from gpu.scheduler import Scheduler
from gpu.sequence import Sequence  # noqa: TC001 - for readers of annotations at run time
from tests.gpu.sequences import like


class Spoken(msgspec.Struct, frozen=True):
    """A prompt's ids, the reference's greedy answer, and its logits for each id of that answer, float32 [answer, vocabulary]."""

    prompt: list[int]
    answer: list[int]
    logits: torch.Tensor


class Agreement(msgspec.Struct, frozen=True, kw_only=True):
    """``agreeing``: positions where both have the same highest logit. ``divergence``: the sum of KL(reference || ours), in nats.

    ``ties``: positions where two of our highest logits are the same number.
    """

    positions: int = 0
    agreeing: int = 0
    divergence: float = 0.0
    ties: int = 0

    @classmethod
    def between(cls, ours: torch.Tensor, reference: torch.Tensor) -> Self:
        """Of logits [positions, vocabulary] for the same places."""
        ours, reference = ours.double(), reference.double()
        own, told = ours.log_softmax(-1), reference.log_softmax(-1)
        highest = ours.topk(2).values
        return cls(
            positions=len(ours),
            agreeing=int((ours.argmax(-1) == reference.argmax(-1)).sum()),
            divergence=float((told.exp() * (told - own)).sum()),
            ties=int((highest[:, 0] == highest[:, 1]).sum()),
        )

    def __add__(self, other: "Agreement") -> "Agreement":
        return Agreement(
            positions=self.positions + other.positions,
            agreeing=self.agreeing + other.agreeing,
            divergence=self.divergence + other.divergence,
            ties=self.ties + other.ties,
        )

    @property
    def share(self) -> float:
        """How many of the positions agree, 0 to 1."""
        return self.agreeing / self.positions

    @property
    def mean_divergence(self) -> float:
        """KL(reference || ours) of a position, in nats."""
        return self.divergence / self.positions


@torch.inference_mode()
def spoken(model: LlamaForCausalLM, prompts: Several[list[int]], ends: frozenset[int], tokens: int) -> Iterator[Spoken]:
    """The reference's greedy answers, up to their ends or ``tokens`` ids, made together; their logits, each alone and without padding."""
    longest = max(map(len, prompts))
    ids = torch.tensor([[0] * (longest - len(prompt)) + prompt for prompt in prompts])
    mask = torch.tensor([[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts])
    config = GenerationConfig(max_new_tokens=tokens, do_sample=False, eos_token_id=sorted(ends), pad_token_id=0)
    made: Any = cast("Any", model).generate(ids, attention_mask=mask, generation_config=config)
    for prompt, answer in zip(prompts, made[:, longest:].tolist(), strict=True):
        last = next((place for place, token in enumerate(answer) if token in ends), len(answer) - 1)
        whole = torch.tensor([prompt + answer[: last + 1]])
        yield Spoken(prompt, answer[: last + 1], model(whole).logits[0, len(prompt) - 1 : -1])


def agreement(runner: Runner, answers: Several[Spoken], rows: int) -> Agreement:
    """Of our logits for the reference's answers, whose ids we are given one by one; as many answers at once as the cache has rows."""
    scheduler = Scheduler(EngineConfig(rows=rows))
    sequences = [like(list(answer.prompt)) for answer in answers]
    to_come = {sequence: list(answer.answer) for sequence, answer in zip(sequences, answers, strict=True)}
    seen: dict[Sequence, list[torch.Tensor]] = {sequence: [] for sequence in sequences}
    for sequence in sequences:
        scheduler.add(sequence)
    while works := scheduler.plan():
        runner.prepare(scheduler.released, scheduler.copies)
        logits = runner.run(works)
        for work in works:
            work.sequence.computed = work.stop
        for work, row in zip([work for work in works if work.completes], logits, strict=True):
            sequence = work.sequence
            seen[sequence].append(torch.tensor(row))
            sequence.ids.append(to_come[sequence].pop(0))
            sequence.cancelled = not to_come[sequence]
        scheduler.sweep()
    found = (Agreement.between(torch.stack(seen[sequence]), answer.logits) for sequence, answer in zip(sequences, answers, strict=True))
    return sum(found, start=Agreement())
