"""The generation engine against transformers' static batched ``generate``, same weights and threads: ``python -m benchmarks.engine``."""

import asyncio
import itertools
import os
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path

import msgspec

from benchmarks.rows import Row, show
from gpu.environment import CHILD_ENVIRONMENT

ROUNDS = 3
ARRIVALS = 9
NEW_TOKENS = 64
BOUNDS = {1: 2.5, 8: 1.5, 32: 0.9}
FOLDER_BOUND = 0.95


async def measure() -> AsyncGenerator[Row, None]:
    """Measured in a child, whose environment is a worker's before torch is imported."""
    with tempfile.TemporaryDirectory() as folder:
        async for row in _child("measure", folder):
            yield row
        starts = [row.measured for _ in range(ROUNDS) async for row in _child("start", folder)]
    what, note = "second start of a worker's engine to its first token", ", ".join(f"{seconds:.1f}" for seconds in starts)
    yield Row(what=what, measured=statistics.median(starts), at_most=5, unit="s", note=note)


async def _child(what: str, folder: str) -> AsyncGenerator[Row, None]:
    """What a child of this module measures; a row is a line of JSON."""
    environment = {**os.environ, **CHILD_ENVIRONMENT}  # noqa: TID251 - handed on to the child
    command = (sys.executable, "-m", "benchmarks.engine", what, folder, str(time.time()))
    process = await asyncio.create_subprocess_exec(*command, env=environment, stdout=asyncio.subprocess.PIPE)
    assert process.stdout
    async for line in process.stdout:
        if line.startswith(b"{"):
            yield msgspec.json.decode(line, type=Row)
    assert await process.wait() == 0, command


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

        prompts = [self.plain._tokenizer.prompt(_messages(number)) for number in numbers]  # noqa: SLF001 - the same ids for both
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
    import torch  # noqa: PLC0415

    from gpu.dequantised import as_transformers  # noqa: PLC0415

    model = folder / "float32"
    as_transformers(gguf, torch.float32).save_pretrained(model)
    (cache,) = (folder / "models").iterdir()
    chat = msgspec.json.decode((cache / "chat.json").read_bytes())
    (model / "tokenizer.json").write_bytes((cache / "tokenizer.json").read_bytes())
    (model / "tokenizer_config.json").write_bytes(msgspec.json.encode({"chat_template": chat["template"], **chat["special"]}))
    return model


def _messages(number: int) -> list[dict[str, str]]:
    """Prompts of 65 to 85 tokens; all have the template's system prompt in common (30 tokens), and no two anything more."""
    return [{"role": "user", "content": f"{number} mills" + ", their river, and their people" * (4 + number % 3) + ": write their story."}]


async def _engine(engine: object, numbers: range) -> float:
    """Tokens a second of as many requests through the engine."""
    began = time.perf_counter()
    made = await asyncio.gather(*(_answer(engine, number, NEW_TOKENS) for number in numbers))
    assert {len(times) for times in made} == {NEW_TOKENS}
    return len(numbers) * NEW_TOKENS / (time.perf_counter() - began)


async def _answer(engine: object, number: int, tokens: int) -> list[float]:
    """When each token of an answer came, in seconds from its asking."""
    from gpu.engine import Engine  # noqa: PLC0415
    from gpu.requests import Request, Sampling  # noqa: PLC0415

    assert isinstance(engine, Engine)
    sampling = Sampling(temperature=0.0, seed=0, max_tokens=tokens, logit_bias={2: -100.0})
    began, times = time.perf_counter(), list[float]()
    async for piece in engine.generate(Request(id=str(number), messages=_messages(number), sampling=sampling)):
        times += [time.perf_counter() - began] * len(piece.tokens)
    return times


def _throughput(bench: Bench) -> Iterator[Row]:
    """Interleaved rounds; the median of the rounds' ratios."""
    for count, bound in BOUNDS.items():
        rounds = []
        for turn in range(ROUNDS):
            first = 1000 * count + 100 * turn  # no round asks what another has asked
            numbers = range(first, first + count)
            rounds.append((asyncio.run(_engine(bench.exact, numbers)), bench.generate(numbers), asyncio.run(_engine(bench.plain, numbers))))
        exact, theirs, plain = (statistics.median(side) for side in zip(*rounds, strict=True))
        starter = statistics.median(ours / other for ours, other, _ in rounds)
        folder = statistics.median(ours / other for _, other, ours in rounds)
        what = f"tokens/s at {count} requests against transformers generate"
        yield Row(what=f"starter model, {what}", measured=starter, at_least=bound, note=f"{exact:.0f} / {theirs:.0f} tokens/s")
        yield Row(what=f"safetensors model, {what}", measured=folder, at_least=FOLDER_BOUND, note=f"{plain:.0f} / {theirs:.0f} tokens/s")


async def _arrival(bench: Bench) -> Row:
    """A request that arrives while 8 are running, against its own prefill and two of their steps."""
    alone = [(await _answer(bench.exact, 90_000 + number, 1))[0] for number in range(ARRIVALS)]
    running = [asyncio.create_task(_answer(bench.exact, number, 1500)) for number in range(8)]
    await asyncio.sleep(3)
    late = []
    for number in range(ARRIVALS):
        await asyncio.sleep(0.3 + 0.017 * number)
        late.append((await _answer(bench.exact, 91_000 + number, 1))[0])
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    steps = await asyncio.gather(*(_answer(bench.exact, number, 60) for number in range(8)))
    step = statistics.median(after - before for times in steps for before, after in itertools.pairwise(times[20:]))
    own, first = statistics.median(alone), statistics.median(late)
    note = f"{first * 1000:.0f} ms; own prefill {own * 1000:.0f} ms, a step of 8 {step * 1000:.0f} ms"
    return Row(
        what="first token of an arrival beside 8, against own prefill + 2 decode steps",
        measured=first / (own + 2 * step),
        at_most=1,
        note=note,
    )


async def _first_token(folder: Path, began: float) -> Row:
    from core.settings import Settings  # noqa: PLC0415
    from gpu.engine import load, sources  # noqa: PLC0415

    settings = Settings(data_dir=folder, device="cpu")
    (source,) = sources(settings)
    engine = load(source, settings)
    await _answer(engine, 0, 1)
    return Row(what="start", measured=time.time() - began)


def _rows(what: str, folder: Path, began: float) -> Iterator[Row]:
    """One part of the measurement, in a child."""
    if what == "start":
        yield asyncio.run(_first_token(folder, began))
        return
    bench = Bench(folder)
    yield from _throughput(bench)
    yield asyncio.run(_arrival(bench))


def main() -> None:
    """As a child: one part of the measurement. Else all, as a table."""
    if not sys.argv[1:]:
        asyncio.run(show(measure()))
        return
    what, folder, began = sys.argv[1:]
    for row in _rows(what, Path(folder), float(began)):
        sys.stdout.buffer.write(msgspec.json.encode(row) + b"\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
