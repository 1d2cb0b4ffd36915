"""What signed-in requests cost, against a bare aiohttp handler that returns the same bytes: ``python -m benchmarks.api [--store STORE]``.

Interleaved rounds against real processes, over each store; the median of the rounds' ratios. The bounds are for an ordinary client on the
embedded store. The others stand in for MongoDB and share the two cores, so their figures have no bound: mongo-java-server keeps its data in
memory and carries out one command at a time, FerretDB reads whole collections to find a part of them. One client that costs next to nothing
shows the server's own share alone. A long chat that stays as it is comes out of the web process's memory from the second time on; what
reading one from the store costs, the row of one that has just changed says.
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import msgspec

from benchmarks import gets, load
from benchmarks.account import Account
from benchmarks.bare import bare
from benchmarks.rows import Row, show
from benchmarks.stores import EMBEDDED, STORES, open_store
from tests.stack import Stack, stack_in

ROUNDS = 3
SECONDS = 1.0
CLIENTS = (1, 16, 64)
BOUND_CLIENTS = 16
READ_AT_LEAST, WRITE_AT_LEAST = 0.3, 0.15
MANY_CHATS, FEW_CHATS = 10_000, 10
PAGE = 10
LISTS_AT_MOST = 1.3
SHORT, LONG = 10, 5_000
CHANGES = 5

_encode = msgspec.json.encode


class Ask(NamedTuple):
    """One request. ``path``: several, with spaces between, where each client has its own. ``body``: what is posted, None for a GET."""

    what: str
    by: Account
    path: str
    at_least: float
    body: bytes | None = None
    clients: tuple[int, ...] = CLIENTS

    @property
    def urls(self) -> str:
        """The same addresses, whole."""
        return " ".join(self.by.url + path for path in self.path.split())


async def measure(stores: Iterable[str] = STORES) -> AsyncGenerator[Row, None]:
    """All of it, over each store."""
    for store in stores:
        async with _product(store) as stack, aiohttp.ClientSession() as session:
            await Account.join(session, stack.url, "administrator")  # the limit is not counted for the first user
            users = [await Account.join(session, stack.url, name) for name in ("user", "few", "many")]
            async for row in _over(store, stack, *users):
                yield row


@asynccontextmanager
async def _product(store: str) -> AsyncGenerator[Stack, None]:
    with tempfile.TemporaryDirectory() as folder:
        async with stack_in(Path(folder), rate_limit_per_minute=10_000_000) as stack:
            await stack.start_redis()
            with open_store(store, Path(folder)) as mongo_url:
                await stack.start_api(mongo_url=mongo_url)
                yield stack


async def _over(store: str, stack: Stack, user: Account, few: Account, many: Account) -> AsyncGenerator[Row, None]:
    """What leaves much behind comes late."""
    await few.fill(FEW_CHATS)
    own = " ".join([f"/api/chats/{await user.create(_chat(SHORT))}" for _ in range(max(CLIENTS))])
    page, new = f"/api/chats/?limit={PAGE}", _encode({"chat": _chat(SHORT)})
    small = [
        Ask("me", user, "/api/auths/", READ_AT_LEAST),
        Ask(f"get a chat of {SHORT} messages", user, own.split()[0], READ_AT_LEAST),
        Ask(f"list {PAGE} of {FEW_CHATS} chats", few, page, READ_AT_LEAST),
        Ask("update a title", user, own, WRITE_AT_LEAST, _encode({"chat": {"title": "B"}})),
    ]
    async for row in _against_bare(store, stack, small):
        yield row
    clients = BOUND_CLIENTS if store == EMBEDDED else 1
    long = f"/api/chats/{await user.create(_chat(LONG))}"
    await many.fill(MANY_CHATS)
    large = [
        Ask(f"get a chat of {LONG:,} messages that stays as it is", user, long, READ_AT_LEAST, clients=(clients,)),
        Ask(f"list {PAGE} of {MANY_CHATS:,} chats", many, page, READ_AT_LEAST, clients=(clients,)),
    ]
    async for row in _against_bare(store, stack, large):
        yield row
    yield await _changed(store, stack, user, long)
    yield await _lists(store, few.url + page, few, many, clients)
    async for row in _against_bare(store, stack, [Ask("create a chat", user, "/api/chats/new", WRITE_AT_LEAST, new)]):
        yield row


async def _against_bare(store: str, stack: Stack, asks: list[Ask]) -> AsyncGenerator[Row, None]:
    bodies = {str(number): await ask.by.ask(ask.path.split()[0], ask.body) for number, ask in enumerate(asks)}
    async with bare(stack, bodies) as url:
        for number, ask in enumerate(asks):
            theirs, size = url + str(number), len(bodies[str(number)])
            for clients in ask.clients:
                bound = ask.at_least if store == EMBEDDED and clients == BOUND_CLIENTS else None
                pairs = [
                    (await _load(ask.urls, ask.by, ask.body, clients), await _load(theirs, ask.by, ask.body, clients))
                    for _ in range(ROUNDS)
                ]
                yield _row(f"{ask.what}, {store}, {clients} clients", pairs, bound, size)
            if ask.body is None and ask.clients == CLIENTS and store == EMBEDDED:
                headers = {"Authorization": f"Bearer {ask.by.token}"}
                cheap = [(await _gets(ask.urls, headers), await _gets(theirs, headers)) for _ in range(ROUNDS)]
                yield _row(f"{ask.what}, {store}, {BOUND_CLIENTS} clients that cost next to nothing", cheap, None, size)


async def _changed(store: str, stack: Stack, user: Account, path: str) -> Row:
    """A long chat whose web process cannot have kept it from the time before: milliseconds of one answer after the other."""

    async def took(by: Account, path: str) -> float:
        began = time.perf_counter()
        await by.ask(path)
        return (time.perf_counter() - began) * 1000

    body = await user.ask(path)
    async with bare(stack, {"chat": body}) as url:
        theirs, pairs = user.at(url), []
        for number in range(CHANGES):
            await user.ask(path, _encode({"chat": {"title": f"Change {number}"}}))
            pairs.append((await took(user, path), await took(theirs, "chat")))
    ours, bare_ones = (statistics.median(column) for column in zip(*pairs, strict=True))
    ratio = statistics.median(bare_one / mine for mine, bare_one in pairs)
    what = f"get a chat of {LONG:,} messages that has just changed, {store}, 1 client"
    return Row(what=what, measured=ratio, note=f"{ours:.1f} against {bare_ones:.1f} ms, {len(body)} bytes")


async def _lists(store: str, url: str, few: Account, many: Account, clients: int) -> Row:
    """The first page of many chats against the first page of few."""
    pairs = [(await _load(url, few, None, clients), await _load(url, many, None, clients)) for _ in range(ROUNDS)]
    ratio = statistics.median(of_few / of_many for of_few, of_many in pairs)
    of_few, of_many = (statistics.median(column) for column in zip(*pairs, strict=True))
    what = f"cost of the first {PAGE} of {MANY_CHATS:,} chats against that of {FEW_CHATS} in the same store, {store}"
    bound = LISTS_AT_MOST if store == EMBEDDED else None
    return Row(what=what, measured=ratio, at_most=bound, note=f"{_rate(of_many)} against {_rate(of_few)} a second")


def _row(what: str, pairs: list[tuple[float, float]], bound: float | None, size: int) -> Row:
    ours, theirs = (statistics.median(column) for column in zip(*pairs, strict=True))
    ratio = statistics.median(mine / bare_one for mine, bare_one in pairs)
    return Row(what=what, measured=ratio, at_least=bound, note=f"{_rate(ours)} against {_rate(theirs)} a second, {size} bytes")


def _rate(per_second: float) -> str:
    return f"{per_second:.0f}" if per_second >= 10 else f"{per_second:.1f}"


async def _load(url: str, by: Account, body: bytes | None, clients: int) -> float:
    found = await load.run("get" if body is None else "post", url, token=by.token, clients=clients, seconds=SECONDS, body=body)
    return float(found["per_second"])


async def _gets(url: str, headers: dict[str, str]) -> float:
    return await gets.run(url, headers, clients=BOUND_CLIENTS, seconds=SECONDS)


def _chat(length: int) -> dict[str, Any]:
    messages = [
        {"id": f"m{number}", "role": "user", "content": "Hello! " * 10, "timestamp": 1_700_000_000 + number} for number in range(length)
    ]
    return {"title": "A chat", "models": ["m"], "messages": messages}


def main() -> None:
    """Over one store, or over all."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.api")
    parser.add_argument("--store", choices=[store.lower() for store in STORES], help="measure over this store only")
    wanted = parser.parse_args().store
    asyncio.run(show(measure([store for store in STORES if wanted in {None, store.lower()}])))


if __name__ == "__main__":
    main()
