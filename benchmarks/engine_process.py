"""An engine in a process of its own, any build's: ``python -P engine_process.py FOLDER``, run in that build's checkout.

It imports nothing of the benchmarks but itself, for the other build has others. Each line on standard input, ``FIRST COUNT``, has it
answer that many questions at once, numbered from FIRST; a line of JSON says how many tokens a second that made.
"""

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

NEW_TOKENS = 64
END = 2  # the starter model's end of an answer: all answers are as long as they may be


def messages(number: int) -> list[dict[str, Any]]:
    """Prompts of 65 to 85 tokens; all have the template's system prompt in common (30 tokens), and no two anything more."""
    return [{"role": "user", "content": f"{number} mills" + ", their river, and their people" * (4 + number % 3) + ": write their story."}]


async def answer(engine: Any, number: int, tokens: int) -> list[float]:
    """When each token of an answer came, in seconds from its asking."""
    from gpu.requests import Request, Sampling  # noqa: PLC0415 - of the build that runs

    sampling = Sampling(temperature=0.0, seed=0, max_tokens=tokens, logit_bias={END: -100.0})
    began, times = time.perf_counter(), list[float]()
    async for piece in engine.generate(Request(id=str(number), messages=messages(number), sampling=sampling)):
        times += [time.perf_counter() - began] * len(piece.tokens)
    return times


async def tokens_per_second(engine: Any, numbers: range) -> float:
    """Of as many requests at once."""
    began = time.perf_counter()
    made = await asyncio.gather(*(answer(engine, number, NEW_TOKENS) for number in numbers))
    assert {len(times) for times in made} == {NEW_TOKENS}
    return len(numbers) * NEW_TOKENS / (time.perf_counter() - began)


def main() -> None:
    """The starter model with the build's own defaults."""
    import torch  # noqa: PLC0415 - after the environment is made

    from core.settings import Settings  # noqa: PLC0415
    from gpu.engine import load, sources  # noqa: PLC0415

    settings = Settings(data_dir=Path(sys.argv[1]), device="cpu")
    (source,) = sources(settings)
    engine = load(source, settings)
    _say({"threads": torch.get_num_threads()})
    for line in sys.stdin:
        first, count = map(int, line.split())
        _say({"gave": asyncio.run(tokens_per_second(engine, range(first, first + count)))})


def _say(told: dict[str, float]) -> None:
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
