"""What signed-in requests cost, against a bare aiohttp handler that returns the same bytes: ``python -m benchmarks.api``.

Interleaved rounds against real processes, over each store; the median of the rounds' ratios. The bounds are for an ordinary client on the
embedded store. The other store is FerretDB, which stands in for MongoDB and shares the two cores: its figures have no bound. One client
that costs next to nothing shows the server's own share alone.
"""

import asyncio
import statistics
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import msgspec

from benchmarks import gets, load
from benchmarks.bare import bare
from benchmarks.rows import Row, table
from tests import servers
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

_encode = msgspec.json.encode


class Ask(NamedTuple):
    """One request. ``path``: several, with spaces between, where each client has its own. ``body``: what is posted, None for a GET."""

    what: str
    path: str
    body: bytes | None = None
    at_least: float | None = None


class User(NamedTuple):
    """Who asks, of which store, and whether the bounds hold there."""

    token: str
    store: str
    bounded: bool


async def measure() -> list[Row]:
    """All of it, over each store."""
    found = await _over("SQLite", bounded=True)
    with tempfile.TemporaryDirectory() as folder, servers.mongo_server(Path(folder)) as url:
        return found + await _over("FerretDB", bounded=False, mongo_url=f"{url}/benchmark")


async def _over(store: str, *, bounded: bool, **settings: Any) -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        async with stack_in(Path(folder), rate_limit_per_minute=10_000_000, **settings) as stack, aiohttp.ClientSession() as session:
            await stack.start_redis()
            await stack.start_api()
            await _join(stack, session, "administrator")  # the limit is not counted for the first user
            user = await _join(stack, session, "user")
            chat_id, long_id = [await _create(stack, session, user, _chat(length)) for length in (SHORT, LONG)]
            own = [await _create(stack, session, user, _chat(SHORT)) for _ in range(max(CLIENTS))]
            asks = [
                Ask("me", "/api/auths/", at_least=READ_AT_LEAST),
                Ask(f"get a chat of {SHORT} messages", f"/api/chats/{chat_id}", at_least=READ_AT_LEAST),
                Ask(f"list, a page of {PAGE}", f"/api/chats/?limit={PAGE}", at_least=READ_AT_LEAST),
                Ask("create a chat", "/api/chats/new", _encode({"chat": _chat(SHORT)}), at_least=WRITE_AT_LEAST),
                Ask(
                    "update a title",
                    " ".join(f"/api/chats/{each}" for each in own),
                    _encode({"chat": {"title": "B"}}),
                    at_least=WRITE_AT_LEAST,
                ),
            ]
            await _fill(stack, session, user, FEW_CHATS)
            asking = User(user, store, bounded)
            rows = await _compare(stack, session, asking, asks)
            long = Ask(f"get a chat of {LONG} messages", f"/api/chats/{long_id}", at_least=READ_AT_LEAST)
            rows += await _compare(stack, session, asking, [long], clients=(BOUND_CLIENTS if bounded else 1,))
            return rows + await _lists(stack, session, store)


async def _compare(
    stack: Stack, session: aiohttp.ClientSession, user: User, asks: list[Ask], *, clients: tuple[int, ...] = CLIENTS
) -> list[Row]:
    bodies = {str(number): await _answer(session, stack.url + ask.path.split()[0], user.token, ask.body) for number, ask in enumerate(asks)}
    found = []
    async with bare(stack, bodies) as url:
        for number, ask in enumerate(asks):
            ours, theirs = " ".join(stack.url + path for path in ask.path.split()), url + str(number)
            for many in clients:
                bound = ask.at_least if user.bounded and many == BOUND_CLIENTS else None
                pairs = [
                    (await _load(ours, user.token, ask.body, many), await _load(theirs, user.token, ask.body, many)) for _ in range(ROUNDS)
                ]
                found.append(_row(f"{ask.what}, {user.store}, {many} clients", pairs, bound, len(bodies[str(number)])))
            if ask.body is None and user.bounded and clients == CLIENTS:
                headers = {"Authorization": f"Bearer {user.token}"}
                cheap = [
                    [await gets.run(address, headers, clients=BOUND_CLIENTS, seconds=SECONDS) for address in (ours, theirs)]
                    for _ in range(ROUNDS)
                ]
                what = f"{ask.what}, {user.store}, {BOUND_CLIENTS} clients that cost next to nothing"
                found.append(_row(what, [(pair[0], pair[1]) for pair in cheap], None, len(bodies[str(number)])))
    return found


async def _lists(stack: Stack, session: aiohttp.ClientSession, store: str) -> list[Row]:
    """The first page of many chats against the first page of few."""
    few, many = await _join(stack, session, "few"), await _join(stack, session, "many")
    await _fill(stack, session, few, FEW_CHATS)
    await _fill(stack, session, many, MANY_CHATS)
    url = f"{stack.url}/api/chats/?limit={PAGE}"
    pairs = [(await _load(url, few, None, BOUND_CLIENTS), await _load(url, many, None, BOUND_CLIENTS)) for _ in range(ROUNDS)]
    ratio = statistics.median(of_few / of_many for of_few, of_many in pairs)
    note = f"{statistics.median(pair[1] for pair in pairs):.0f} against {statistics.median(pair[0] for pair in pairs):.0f} a second"
    what = f"cost of the first {PAGE} of {MANY_CHATS} chats against that of {FEW_CHATS}, {store}"
    return [Row(what=what, measured=ratio, at_most=LISTS_AT_MOST, note=note)]


def _row(what: str, pairs: list[tuple[float, float]], bound: float | None, size: int) -> Row:
    ours, theirs = (statistics.median(column) for column in zip(*pairs, strict=True))
    ratio = statistics.median(mine / bare_one for mine, bare_one in pairs)
    return Row(what=what, measured=ratio, at_least=bound, note=f"{ours:.0f} against {theirs:.0f} a second, {size} bytes")


async def _load(url: str, token: str, body: bytes | None, clients: int) -> float:
    found = await load.run("get" if body is None else "post", url, token=token, clients=clients, seconds=SECONDS, body=body)
    return float(found["per_second"])


async def _fill(stack: Stack, session: aiohttp.ClientSession, token: str, many: int) -> None:
    """That many chats, some at a time."""
    gate = asyncio.Semaphore(16)

    async def one(number: int) -> None:
        async with gate:
            await _create(stack, session, token, {"title": f"Chat {number}", "messages": []})

    await asyncio.gather(*map(one, range(many)))


async def _create(stack: Stack, session: aiohttp.ClientSession, token: str, chat: dict[str, Any]) -> str:
    created = msgspec.json.decode(await _answer(session, f"{stack.url}/api/chats/new", token, _encode({"chat": chat})))
    return str(created["id"])


async def _answer(session: aiohttp.ClientSession, url: str, token: str, body: bytes | None) -> bytes:
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    async with session.request("GET" if body is None else "POST", url, data=body, headers=headers) as response:
        assert response.ok, await response.text()
        return await response.read()


async def _join(stack: Stack, session: aiohttp.ClientSession, name: str) -> str:
    """A newcomer's token."""
    newcomer = {"name": name, "email": f"{name}@example.com", "password": "correct horse battery"}
    async with session.post(f"{stack.url}/api/auths/signup", json=newcomer) as response:
        assert response.ok, await response.text()
        return str((await response.json())["token"])


def _chat(length: int) -> dict[str, Any]:
    messages = [
        {"id": f"m{number}", "role": "user", "content": "Hello! " * 10, "timestamp": 1_700_000_000 + number} for number in range(length)
    ]
    return {"title": "A chat", "models": ["m"], "messages": messages}


def rows() -> list[Row]:
    """For the harness."""
    return asyncio.run(measure())


if __name__ == "__main__":
    print(table(rows()))  # noqa: T201 - its answer
