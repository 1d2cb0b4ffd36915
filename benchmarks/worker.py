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
from pathlib import Path

import aiohttp
import msgspec

from benchmarks import answers
from benchmarks.account import Account
from benchmarks.checkouts import HERE, Checkout
from benchmarks.processes import Memory, Process, memory, since_boot_s
from benchmarks.product import CHAT_MODEL, EMBEDDING_MODEL, Product, administrator, product
from benchmarks.rows import Row
from tests.polling import until

ROUNDS = 3
STARTS = 5
MEBIBYTE = 1 << 20
QUIET_S = 1.0

COMPLETIONS = "/api/openai/v1/chat/completions"
EMBEDDINGS = "/api/openai/v1/embeddings"
QUESTION = "What is the capital of France?"


async def measure(before: Checkout) -> AsyncGenerator[Row, None]:
    """By turns, one product at a time: two of the same libraries would share their pages."""
    now, then = list[Memory](), list[Memory]()
    starts, their_starts = list[float](), list[float]()
    for _ in range(ROUNDS):
        for checkout, memories, seconds in ((HERE, now, starts), (before, then, their_starts)):
            with tempfile.TemporaryDirectory() as folder:
                async with product(Path(folder), checkout) as running, administrator(running) as user:
                    seconds += [await _start_again(running, user) for _ in range(STARTS)]
                    memories.append(await _at_rest(running, user))
    yield _memory("resident", [held.resident for held in now], [held.resident for held in then], at_most=0.6)
    yield _memory("proportional", [held.proportional for held in now], [held.proportional for held in then])
    note = f"longest {max(starts):.2f} s; the build before {statistics.median(their_starts):.2f} s; {len(starts)} starts"
    yield Row(
        what="second start of a GPU-pool worker, until an answer's first token is with its reader",
        measured=statistics.median(starts),
        at_most=3,
        unit="s",
        note=note,
    )


def _memory(kind: str, now: list[int], then: list[int], at_most: float | None = None) -> Row:
    mine, other = statistics.median(now) / MEBIBYTE, statistics.median(then) / MEBIBYTE
    return Row(
        what=f"{kind} memory of an idle GPU-pool worker with starter model and embedder, both used, against the build before",
        measured=statistics.median(own / their for own, their in zip(now, then, strict=True)),
        at_most=at_most,
        note=f"{mine:.0f} / {other:.0f} MiB",
    )


async def _start_again(running: Product, user: Account) -> float:
    """End the worker, so that its supervisor starts another; seconds from that one's start until it has answered with a token.

    The question is on the queue meanwhile.
    """
    ended = running.gpu_worker
    assert ended
    os.kill(ended.pid, signal.SIGTERM)

    def another() -> Process | None:
        found = running.gpu_worker
        return found if found and found.pid != ended.pid else None

    began = asyncio.create_task(until(another, "the worker is started again", timeout_s=60))
    headers = {"Authorization": f"Bearer {user.token}", "Content-Type": "application/json"}
    body = answers.body(CHAT_MODEL, QUESTION, 8)
    async with aiohttp.ClientSession(headers=headers) as session, session.post(f"{user.url}{COMPLETIONS}", data=body) as response:
        assert response.ok, await response.text()
        async with aclosing(answers.deltas(response)) as deltas:
            await anext(deltas)
            arrived = since_boot_s()
    return arrived - (await began).started_s


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
