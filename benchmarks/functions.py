"""Calls of a trivial function: over REST on an idle stack (Redis, a web process, a worker of the pool cpu), and in the sandbox alone.

What calls/s are compared with is a bare ``python -c pass``, started by as many threads at once as there are clients; asked by turns.
"""

import asyncio
import os
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import aiohttp
import msgspec

from benchmarks import load
from benchmarks.account import Account
from benchmarks.rows import Row, show
from pipelines.sandbox.sandbox import Sandbox
from tests.pipelines.sandbox.processes import descriptors, zygotes
from tests.stack import stack_in

CODE = "import json, math, re, numpy\ndef add(a: int) -> int:\n    return a + 1"
BARE = (sys.executable, "-c", "pass")
CLIENTS = 16
ROUNDS = 5
SECONDS = 3.0
ALONE = 1_000
LEFT_AFTER = 10_000
PERCENT = 99
SHARED = Path("/dev/shm")  # noqa: S108 - looked at, not written to

_encode = msgspec.json.encode


async def measure() -> AsyncGenerator[Row, None]:
    """End to end first, while nothing else runs."""
    with tempfile.TemporaryDirectory() as folder:
        async with stack_in(Path(folder)) as stack, aiohttp.ClientSession() as session:
            await stack.start_redis()
            await asyncio.gather(stack.start_api(), stack.start_worker("cpu"))
            account = await Account.join(session, stack.url, "ada")
            made = msgspec.json.decode(await account.ask("/api/functions/create", _encode({"name": "add", "content": CODE})))
            path, body = f"/api/functions/{made['id']}/test", _encode({"args": {"a": 1}})
            answer = msgspec.json.decode(await account.ask(path, body))
            assert answer["result"] == 2, answer
            for row in await _over_rest(stack.url + path, account.token, body):
                yield row
    async with Sandbox.open(places=CLIENTS) as sandbox:
        for row in (*await _alone(sandbox), await _left_behind(sandbox)):
            yield row


async def _over_rest(url: str, token: str, body: bytes) -> tuple[Row, Row]:
    one = [await load.run("post", url, token=token, body=body, clients=1, seconds=SECONDS) for _ in range(ROUNDS)]
    rounds = []
    for turn in range(ROUNDS):
        bare = await asyncio.to_thread(_bare) if turn % 2 else 0.0
        called = (await load.run("post", url, token=token, body=body, clients=CLIENTS, seconds=SECONDS))["per_second"]
        rounds.append((called, bare or await asyncio.to_thread(_bare)))
    calls, bares = (statistics.median(side) for side in zip(*rounds, strict=True))
    return (
        Row(
            what="call of a trivial function over REST, idle stack, p50",
            measured=statistics.median(said["median_ms"] for said in one),
            at_most=25,
            unit="ms",
        ),
        Row(
            what=f"calls over REST by {CLIENTS} clients, against starting bare python processes",
            measured=statistics.median(called / bare for called, bare in rounds),
            at_least=1.0,
            note=f"{calls:.0f} / {bares:.0f} a second",
        ),
    )


async def _alone(sandbox: Sandbox) -> tuple[Row, Row]:
    times = []
    for _ in range(ALONE):
        began = time.perf_counter()
        await _call(sandbox)
        times.append((time.perf_counter() - began) * 1_000)
    what = f"the sandbox alone ({sandbox.isolation}; json, math, re and numpy imported)"
    return (
        Row(what=f"{what}, p50", measured=statistics.median(times), at_most=10, unit="ms"),
        Row(what=f"{what}, p{PERCENT}", measured=statistics.quantiles(times, n=100)[PERCENT - 1], at_most=25, unit="ms"),
    )


async def _left_behind(sandbox: Sandbox) -> Row:
    """``CLIENTS`` at a time."""
    before = _things(sandbox)
    began = time.perf_counter()

    async def client() -> None:
        for _ in range(LEFT_AFTER // CLIENTS):
            await _call(sandbox)

    await asyncio.gather(*(client() for _ in range(CLIENTS)))
    speed = LEFT_AFTER / (time.perf_counter() - began)
    after = _things(sandbox)
    return Row(
        what=f"left behind after {LEFT_AFTER} calls: processes, descriptors, shared memory, files",
        measured=sum(max(after[kind] - before[kind], 0) for kind in before),
        at_most=0,
        note=f"{', '.join(f'{kind} {before[kind]} → {after[kind]}' for kind in before)}; {speed:.0f} calls a second",
    )


async def _call(sandbox: Sandbox) -> None:
    outcome = await sandbox.call(code=CODE, function="add", arguments={"a": 1})
    assert outcome.result is not None, outcome.failure


def _things(sandbox: Sandbox) -> dict[str, int]:
    """What there is of each kind."""
    processes = {os.getpid(), *zygotes(sandbox)}
    return {
        "processes": len(processes),
        "descriptors": sum(map(descriptors, processes)),
        "shared memory": len(list(SHARED.iterdir())) + len(Path("/proc/sysvipc/shm").read_text(encoding="ascii").splitlines()) - 1,
        "files": len(list(Path(tempfile.gettempdir()).iterdir())),
    }


def _bare() -> float:
    """Bare processes a second."""
    until = time.perf_counter() + SECONDS

    def client() -> int:
        count = 0
        while time.perf_counter() < until:
            os.waitpid(os.posix_spawn(BARE[0], BARE, os.environ), 0)  # noqa: TID251 - handing it on
            count += 1
        return count

    began = time.perf_counter()
    with ThreadPoolExecutor(CLIENTS) as threads:
        made = sum(done.result() for done in [threads.submit(client) for _ in range(CLIENTS)])
    return made / (time.perf_counter() - began)


if __name__ == "__main__":
    asyncio.run(show(measure()))
