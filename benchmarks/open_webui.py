"""Documents from their upload until they can be found in a knowledge base, against Open WebUI 0.6.34: ``python -m benchmarks open_webui``.

Both are started as their users start them, on this machine, with the same embedding model and the same torch; all else is as it comes.
A few documents go to Open WebUI in three ways first, of which the fastest is measured: one document after the other as its own page does
it, several at once, and several uploads at once whose files are then added together. The same documents go to both, by turns; at the end
each is looked for by its beginning on both sides. The ratio depends on the processor: where it multiplies bfloat16 itself, we embed in
that (benchmark bfloat16), Open WebUI in float32 everywhere.
"""

import asyncio
import os
import tempfile
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from benchmarks.account import Account
from benchmarks.documents import documents, sign
from benchmarks.fetched import programs
from benchmarks.processes import cpu_seconds, used
from benchmarks.product import administrator, product
from benchmarks.rows import Row, show
from gpu.sources import embedder
from tests.polling import until
from tests.ports import free_port

OPEN_WEBUI = "open-webui==0.6.34"
DOCUMENTS, BYTES = 60, 21_000
TURNS = 2
TRIED = 4  # documents that each way is tried with
AT_ONCE = 4
BEGINNING = 400  # characters of a document that it is looked for by
LOOK_S = 0.5  # seldom: what looking costs is counted, too
PATIENCE_S = 3_600

Put = Callable[[Account, str, Sequence[Path]], Awaitable[None]]


class Turn(msgspec.Struct, frozen=True):
    """Seconds by the clock, and of all processors."""

    took_s: float
    used_s: float


class Side:
    """A server with one knowledge base; ``pid``: the process that all of its own stand below. ``user`` asks below its API's path."""

    def __init__(self, user: Account, pid: int, base: str) -> None:
        self.user = user
        self.base = base
        self._pid = pid

    async def turn(self, put: Put, files: Sequence[Path]) -> Turn:
        """What it takes to put these in."""
        before, began = cpu_seconds(self._pid), time.perf_counter()
        await put(self.user, self.base, files)
        return Turn(time.perf_counter() - began, used(before, cpu_seconds(self._pid)))


async def measure() -> AsyncGenerator[Row, None]:
    """The sums of turns."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for place in ("ours", "theirs"):
            (folder / place).mkdir()
        async with product(folder / "ours") as running, administrator(running) as ada, _open_webui(folder / "theirs") as (bob, pid):
            user = ada.at(f"{ada.url}/api")
            ours, theirs = Side(user, running.pid, await _base(user)), Side(bob, pid, await _base(bob))
            tried = dict[str, float]()
            for number, (way, put) in enumerate(WAYS.items(), TURNS):
                files = await asyncio.to_thread(documents, folder / str(number), TRIED, BYTES, number)
                await ours.turn(_put_in_ours, files)  # what is loaded when it is first needed
                tried[way] = (await theirs.turn(put, files)).took_s
            fastest = min(tried, key=lambda way: tried[way])
            says = ", ".join(f"{way} {took:.0f} s" for way, took in tried.items())
            async for row in _compare(folder, ours, theirs, fastest):
                yield row
            yield Row(what=f"fastest way into Open WebUI, {TRIED} documents", measured=tried[fastest], unit="s", note=says)


async def _compare(folder: Path, ours: Side, theirs: Side, way: str) -> AsyncGenerator[Row, None]:
    beginnings, mine, other = dict[str, str](), list[Turn](), list[Turn]()
    listed = await _listed(theirs)
    for number in range(TURNS):
        some = await asyncio.to_thread(documents, folder / str(number), DOCUMENTS // TURNS, BYTES, number)
        mine.append(await ours.turn(_put_in_ours, some))
        other.append(await theirs.turn(WAYS[way], some))
        beginnings |= {sign(number, place): file.read_text(encoding="utf-8")[:BEGINNING] for place, file in enumerate(some)}
    load = os.getloadavg()[0]
    found = [
        sum([word in await find(side, text) for word, text in beginnings.items()])
        for side, find in ((ours, _we_find), (theirs, _they_find))
    ]
    assert min(found) > DOCUMENTS // 2, found
    took, spent = ([sum(getattr(turn, name) for turn in side) for side in (mine, other)] for name in ("took_s", "used_s"))
    kept = await _listed(theirs) - listed
    yield Row(
        what=f"{DOCUMENTS} documents of {BYTES // 1000} kB, upload to searchable, documents/s against Open WebUI",
        measured=took[1] / took[0],
        at_least=20,
        note=f"{DOCUMENTS / took[0]:.2f} / {DOCUMENTS / took[1]:.2f} documents/s; Open WebUI: {way}, its base then lists {kept} of them; "
        f"found by their beginnings {found[0]} / {found[1]}; load {load:.1f}",
    )
    note = f"{spent[0] / DOCUMENTS:.2f} / {spent[1] / DOCUMENTS:.2f} s a document"
    yield Row(what="the same, processor time of all its processes", measured=spent[1] / spent[0], note=note)


async def _base(user: Account) -> str:
    return str((await _post(user, "/knowledge/create", {"name": "Library", "description": "Help"}))["id"])


async def _listed(side: Side) -> int:
    return len(msgspec.json.decode(await side.user.ask(f"/knowledge/{side.base}"))["files"] or ())


async def _put_in_ours(user: Account, base: str, files: Sequence[Path]) -> None:
    """Several at once, and wait until all can be found."""

    async def put(file: Path) -> str:
        file_id = str((await user.upload("/files/", file))["id"])
        await _post(user, f"/knowledge/{base}/file/add", {"file_id": file_id})
        return file_id

    ids = set(await _several(put, files))

    async def ready() -> bool:
        entries = msgspec.json.decode(await user.ask(f"/knowledge/{base}/files"))
        return ids <= {entry["file_id"] for entry in entries if entry["status"] == "ready"}

    async with asyncio.timeout(PATIENCE_S):
        while not await ready():  # noqa: ASYNC110 - polled as a client would
            await asyncio.sleep(LOOK_S)


async def _put_as_page(user: Account, base: str, files: Sequence[Path]) -> None:
    """Their text is read and embedded after the upload's answer: the page listens until that is done, and adds the file then."""
    for file in files:
        file_id = (await user.upload("/files/", file))["id"]
        said = await user.ask(f"/files/{file_id}/process/status?stream=true")
        assert b'"completed"' in said, said
        await _post(user, f"/knowledge/{base}/file/add", {"file_id": file_id})


async def _put_at_once(user: Account, base: str, files: Sequence[Path]) -> None:
    async def put(file: Path) -> None:
        await _post(user, f"/knowledge/{base}/file/add", {"file_id": await _processed(user, file)})

    await _several(put, files)


async def _put_together(user: Account, base: str, files: Sequence[Path]) -> None:
    ids = await _several(lambda file: _processed(user, file), files)
    await _post(user, f"/knowledge/{base}/files/batch/add", [{"file_id": file_id} for file_id in ids])


WAYS: dict[str, Put] = {
    "as its page does it": _put_as_page,
    f"{AT_ONCE} at once": _put_at_once,
    f"{AT_ONCE} uploads at once, added together": _put_together,
}


async def _processed(user: Account, file: Path) -> str:
    """The upload's answer comes when all is done."""
    return str((await user.upload("/files/?process_in_background=false", file))["id"])


async def _several(do: Callable[[Path], Awaitable[Any]], files: Sequence[Path]) -> list[Any]:
    """What becomes of each, ``AT_ONCE`` at a time."""
    free = asyncio.Semaphore(AT_ONCE)

    async def one(file: Path) -> Any:
        async with free:
            return await do(file)

    return await asyncio.gather(*map(one, files))


async def _we_find(side: Side, text: str) -> str:
    """The first passage."""
    body = {"query": text, "knowledge_ids": [side.base], "top_k": 1}
    (passage,) = (await _post(side.user, "/retrieval/query", body))["results"]
    return str(passage["content"])


async def _they_find(side: Side, text: str) -> str:
    body = {"query": text, "collection_names": [side.base], "k": 1}
    return str((await _post(side.user, "/retrieval/query/collection", body))["documents"][0][0])


async def _post(user: Account, path: str, body: object) -> Any:
    return msgspec.json.decode(await user.ask(path, msgspec.json.encode(body)))


@asynccontextmanager
async def _open_webui(folder: Path) -> AsyncIterator[tuple[Account, int]]:
    """Its first user, who asks below ``/api/v1``, and its process."""
    source = embedder()
    assert source, "the embedding model's wheel is not installed"
    torch = version("torch").partition("+")[0]
    there, port, log = await programs(OPEN_WEBUI, f"torch=={torch}"), free_port(), folder / "log"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PENSTOCK_")}  # noqa: TID251 - handed on
    environment |= {"DATA_DIR": str(folder), "WEBUI_SECRET_KEY": "benchmark", "RAG_EMBEDDING_MODEL": str(source.path)}
    environment |= {"OFFLINE_MODE": "true", "HF_HUB_OFFLINE": "1", "ANONYMIZED_TELEMETRY": "false"}
    command = (str(there / "python"), str(there / "open-webui"), "serve", "--host", "127.0.0.1", "--port", str(port))
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(*command, cwd=folder, env=environment, stdout=output, stderr=output)
    url = f"http://127.0.0.1:{port}"
    try:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(PATIENCE_S)) as session:

            async def ready() -> bool:
                assert process.returncode is None, log.read_text(encoding="utf-8")[-2000:]
                with suppress(aiohttp.ClientError):
                    async with session.get(f"{url}/health") as response:
                        return response.status == 200
                return False

            await until(ready, "Open WebUI is ready", timeout_s=PATIENCE_S)
            bob = {"name": "bob", "email": "bob@example.com", "password": "correct horse battery"}
            async with session.post(f"{url}/api/v1/auths/signup", json=bob) as response:
                assert response.ok, await response.text()
                yield Account(session, f"{url}/api/v1", (await response.json())["token"]), process.pid
    finally:
        process.terminate()
        await process.wait()


if __name__ == "__main__":
    asyncio.run(show(measure()))
