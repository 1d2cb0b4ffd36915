"""The generation engine against transformers' static batched ``generate``, same weights and threads: ``python -m benchmarks.engine``."""

import asyncio
import itertools
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path

import msgspec

from benchmarks import children
from benchmarks.engine_process import NEW_TOKENS, answer, messages, tokens_per_second
from benchmarks.rows import Row, show

ROUNDS = 3
ARRIVALS = 9
BOUNDS = {1: 2.5, 8: 1.5, 32: 0.9}
FOLDER_BOUND = 0.95


async def measure() -> AsyncGenerator[Row, None]:
    """Measured in a child."""
    with tempfile.TemporaryDirectory() as folder:
        async for row in children.measured("benchmarks.engine", folder):
            yield row


class Bench:
    """The starter model three times: on the exact path, as a safetensors folder, and as transformers has it."""

    def __init__(self, folder: Path) -> None:
        import torch  # noqa: PLC0415 - after the environment is made
        from transformers import AutoModelForCausalLM  # noqa: PLC0415

        from core.settings import Settings  # noqa: PLC0415
        from gpu.engine import load, sources  # noqa: PLC0415

        settings = Settings(data_dir=folder, device="cpu")
        (source,) = sources(settings)
        self.exact = load(source, settings)
        model = _write(folder, source.path)
        (plain,) = sources(msgspec.structs.replace(settings, local_models=(model,)))
        self.plain = load(plain, settings)
        self.model = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32).eval()

    def generate(self, numbers: range) -> float:
        """Tokens a second of static batched ``generate``, prompts padded on their left."""
        import torch  # noqa: PLC0415
        from transformers import GenerationConfig  # noqa: PLC0415

        prompts = [self.plain._tokenizer.prompt(messages(number)) for number in numbers]  # noqa: SLF001 - the same ids for both
        longest = max(map(len, prompts))
        ids = torch.tensor([[0] * (longest - len(prompt)) + prompt for prompt in prompts])
        mask = torch.tensor([[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts])
        began = time.perf_counter()
        config = GenerationConfig(max_new_tokens=NEW_TOKENS, do_sample=False, eos_token_id=None, pad_token_id=0)
        made = self.model.generate(ids, attention_mask=mask, generation_config=config)
        assert made.shape == (len(numbers), longest + NEW_TOKENS)
        return len(numbers) * NEW_TOKENS / (time.perf_counter() - began)


def _write(folder: Path, gguf: Path) -> Path:
    """The same weights in float32, as transformers writes them."""
    from gpu.gguf_to_transformers import as_transformers  # noqa: PLC0415

    model = folder / "float32"
    as_transformers(gguf, "float32").save_pretrained(model)
    (cache,) = (folder / "models").glob("*-*/")
    chat = msgspec.json.decode((cache / "chat.json").read_bytes())
    (model / "tokenizer.json").write_bytes((cache / "tokenizer.json").read_bytes())
    (model / "tokenizer_config.json").write_bytes(msgspec.json.encode({"chat_template": chat["template"], **chat["special"]}))
    return model


def _throughput(bench: Bench) -> Iterator[Row]:
    """Interleaved rounds; the median of the rounds' ratios."""
    for count, bound in BOUNDS.items():
        rounds = []
        for turn in range(ROUNDS):
            first = 1000 * count + 100 * turn  # no round asks what another has asked
            numbers = range(first, first + count)
            rounds.append(
                (
                    asyncio.run(tokens_per_second(bench.exact, numbers)),
                    bench.generate(numbers),
                    asyncio.run(tokens_per_second(bench.plain, numbers)),
                )
            )
        exact, theirs, plain = (statistics.median(side) for side in zip(*rounds, strict=True))
        starter = statistics.median(ours / other for ours, other, _ in rounds)
        folder = statistics.median(ours / other for _, other, ours in rounds)
        what = f"tokens/s at {count} requests against transformers generate"
        yield Row(what=f"starter model, {what}", measured=starter, at_least=bound, note=f"{exact:.0f} / {theirs:.0f} tokens/s")
        yield Row(what=f"safetensors model, {what}", measured=folder, at_least=FOLDER_BOUND, note=f"{plain:.0f} / {theirs:.0f} tokens/s")


async def _arrival(bench: Bench) -> Row:
    """A request that arrives while 8 are running, against its own prefill and two of their steps."""
    alone = [(await answer(bench.exact, 90_000 + number, 1))[0] for number in range(ARRIVALS)]
    running = [asyncio.create_task(answer(bench.exact, number, 1500)) for number in range(8)]
    await asyncio.sleep(3)
    late = []
    for number in range(ARRIVALS):
        await asyncio.sleep(0.3 + 0.017 * number)
        late.append((await answer(bench.exact, 91_000 + number, 1))[0])
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    steps = await asyncio.gather(*(answer(bench.exact, number, 60) for number in range(8)))
    step = statistics.median(after - before for times in steps for before, after in itertools.pairwise(times[20:]))
    own, first = statistics.median(alone), statistics.median(late)
    note = f"{first * 1000:.0f} ms; own prefill {own * 1000:.0f} ms, a step of 8 {step * 1000:.0f} ms"
    return Row(
        what="first token of an arrival beside 8, against own prefill + 2 decode steps",
        measured=first / (own + 2 * step),
        at_most=1,
        note=note,
    )


def _rows(folder: Path) -> Iterator[Row]:
    bench = Bench(folder)
    yield from _throughput(bench)
    yield asyncio.run(_arrival(bench))


def main() -> None:
    """As a child: what it measures in the folder that it is given. Else a table."""
    if sys.argv[1:]:
        children.tell(_rows(Path(sys.argv[1])))
    else:
        asyncio.run(show(measure()))


if __name__ == "__main__":
    main()
