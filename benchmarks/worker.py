"""A worker of the GPU pool at rest, and its second start, against another build's: ``python -m benchmarks worker --before CHECKOUT``.

It runs under ``penstock up`` with the starter model and the embedder. Every figure is of a second start: a first one prepares the model.
"""

import asyncio
import os
import signal
import statistics
import tempfile
from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import partial
from pathlib import Path

import aiohttp
import msgspec

from benchmarks import answers
from benchmarks.account import Account
from benchmarks.checkouts import HERE, Checkout
from benchmarks.processes import Memory, Process, memory, since_boot_s
from benchmarks.product import CHAT_MODEL, EMBEDDING_MODEL, Product, administrator, product
from benchmarks.quiet import Taken, quietly
from benchmarks.rows import Row
from tests.polling import until

ROUNDS = 3
STARTS = 5
MEBIBYTE = 1 << 20
QUIET_S = 1.0

COMPLETIONS = "/api/openai/v1/chat/completions"
EMBEDDINGS = "/api/openai/v1/embeddings"
QUESTION = "What is the capital of France?"


class Start(msgspec.Struct, frozen=True, kw_only=True):
    """From a worker's start until its answer's first token was with its reader; the processor time of all cores that it used for it."""

    seconds: float
    cpu_s: float


async def measure(before: Checkout) -> AsyncGenerator[Row, None]:
    """By turns, one product at a time: two of the same libraries would share their pages."""
    now, then = list[Memory](), list[Memory]()
    starts, their_starts = list[Taken[Start]](), list[Taken[Start]]()
    for _ in range(ROUNDS):
        for checkout, memories, seconds in ((HERE, now, starts), (before, then, their_starts)):
            with tempfile.TemporaryDirectory() as folder:
                async with product(Path(folder), checkout) as running, administrator(running) as user:
                    seconds += [await quietly(running.pid, partial(_start_again, running, user)) for _ in range(STARTS)]
                    memories.append(await _at_rest(running, user))
    yield _memory("resident", [held.resident for held in now], [held.resident for held in then], at_most=0.6)
    yield _memory("proportional", [held.proportional for held in now], [held.proportional for held in then])
    yield Row(
        what="second start of a GPU-pool worker, until an answer's first token is with its reader",
        measured=statistics.median(start.given.seconds for start in starts),
        at_most=3,
        unit="s",
        note=f"{_told(starts)}; the build before: {_told(their_starts)}",
    )


def _told(starts: list[Taken[Start]]) -> str:
    seconds, cpu = (statistics.median(side) for side in zip(*((start.given.seconds, start.given.cpu_s) for start in starts), strict=True))
    others = max(start.others for start in starts)
    return f"{seconds:.2f} s, {cpu:.2f} s of them processor time, {len(starts)} starts, others used {others:.2f} of a core at most"


def _memory(kind: str, now: list[int], then: list[int], at_most: float | None = None) -> Row:
    mine, other = statistics.median(now) / MEBIBYTE, statistics.median(then) / MEBIBYTE
    return Row(
        what=f"{kind} memory of an idle GPU-pool worker with starter model and embedder, both used, against the build before",
        measured=statistics.median(own / their for own, their in zip(now, then, strict=True)),
        at_most=at_most,
        note=f"{mine:.0f} / {other:.0f} MiB",
    )


async def _start_again(running: Product, user: Account) -> Start:
    """End the worker, so that its supervisor starts another, which finds a question on the queue."""
    ended = running.gpu_worker
    assert ended
    os.kill(ended.pid, signal.SIGTERM)
    headers = {"Authorization": f"Bearer {user.token}", "Content-Type": "application/json"}
    body = answers.body(CHAT_MODEL, QUESTION, 8)
    async with aiohttp.ClientSession(headers=headers) as session, session.post(f"{user.url}{COMPLETIONS}", data=body) as response:
        assert response.ok, await response.text()
        async with aclosing(answers.deltas(response)) as deltas:
            await anext(deltas)
            arrived = since_boot_s()
        worker = running.gpu_worker  # looked for only now: looking costs what it would measure
    assert worker
    assert worker.pid != ended.pid
    return Start(seconds=arrived - worker.started_s, cpu_s=worker.cpu_s)


async def _at_rest(running: Product, user: Account) -> Memory:
    """What the worker holds when it has done both of its works once, and nothing more is going on in it."""
    await user.ask(COMPLETIONS, answers.body(CHAT_MODEL, QUESTION, 64))
    await user.ask(EMBEDDINGS, msgspec.json.encode({"model": EMBEDDING_MODEL, "input": QUESTION}))

    async def quiet() -> Process | None:
        first = running.gpu_worker
        await asyncio.sleep(QUIET_S)
        then = running.gpu_worker
        return then if first and then and then.cpu_s - first.cpu_s < 0.02 * QUIET_S else None

    return memory((await until(quiet, "the worker is at rest", timeout_s=60)).pid)
