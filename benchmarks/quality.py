"""The starter model's logits against the same weights dequantised to float32: ``python -m benchmarks.quality``.

Over the reference's own greedy answers to ordinary questions, which we are given id by id.
"""

import asyncio
import sys
import tempfile
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path

from benchmarks import children
from benchmarks.rows import Row, show
from tests.gpu.questions import QUESTIONS

NEW_TOKENS = 48
AT_ONCE = 16
LENGTH = 1024  # tokens: longer than any of these prompts with its answer
LEAST_POSITIONS = 2_000


async def measure() -> AsyncGenerator[Row, None]:
    """Measured in a child."""
    with tempfile.TemporaryDirectory() as folder:
        async for row in children.measured("benchmarks.quality", folder):
            yield row


def _rows(folder: Path) -> Iterator[Row]:
    import torch  # noqa: PLC0415 - after the environment is made

    from gpu import devices  # noqa: PLC0415
    from gpu.gguf_to_transformers import as_transformers  # noqa: PLC0415
    from gpu.loading import open_model  # noqa: PLC0415
    from gpu.runner import Runner  # noqa: PLC0415
    from gpu.sources import starter  # noqa: PLC0415
    from tests.gpu.agreement import Agreement, agreement, spoken  # noqa: PLC0415

    (source,) = starter()
    torch.set_num_threads(devices.threads())
    forward, words = open_model(source, device=devices.CPU, threads=(devices.threads(),), cache_dir=folder, progress=lambda _: None)
    reference = as_transformers(source.path, "float32")
    prompts = [words.prompt([{"role": "user", "content": question}]) for question in QUESTIONS]
    total = Agreement()
    for start in range(0, len(prompts), AT_ONCE):
        forward.allocate(AT_ONCE, LENGTH)
        answers = list(spoken(reference, prompts[start : start + AT_ONCE], words.ends, NEW_TOKENS))
        total += agreement(Runner(forward), answers, AT_ONCE)
    assert total.positions >= LEAST_POSITIONS
    where = f"{total.positions} positions of {len(prompts)} prompts"
    against = "starter model against its float32 reference"
    yield Row(
        what=f"same highest logit, {against}", measured=total.share * 100, at_least=99.9, unit="%", note=f"{total.agreeing} of {where}"
    )
    yield Row(what=f"mean KL divergence, {against}", measured=total.mean_divergence, at_most=0.001, unit="nats", note=where)
    yield Row(what="positions where two highest logits are equal, starter model", measured=total.ties, at_most=0, note=where)


def main() -> None:
    """As a child: what it measures in the folder that it is given. Else a table."""
    if sys.argv[1:]:
        children.tell(_rows(Path(sys.argv[1])))
    else:
        asyncio.run(show(measure()))


if __name__ == "__main__":
    main()
