"""A folder of documents into a knowledge base, as users do it: ``python -m benchmarks ingestion``.

``penstock up`` with SQLite and its own vector store, then ``penstock ingest`` over 1,570 files of Markdown of 10 KB each, and over 10,000
short ones. Idle, and while 300 more of 10 KB and the short ones are on their way, chats are listed 20 times a second and a question is
asked once a second. Embedding alone is the same embedder on the same number of threads with nothing else to do, over the passages of
every twentieth file.
"""

import asyncio
import signal
import statistics
import tempfile
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec

from benchmarks import children
from benchmarks.account import Account
from benchmarks.checkouts import HERE
from benchmarks.documents import documents, sign
from benchmarks.processes import Memory, Process, family, memory
from benchmarks.product import administrator, product
from benchmarks.rows import Row, show
from tests.polling import until

FILES, BYTES = 1_570, 10_000
MANY_FILES, MANY_BYTES = 10_000, 600
SAMPLED = 20  # every so many files are embedded alone
STOPPED_FILES, STOPPED_AFTER = 300, 20
IDLE_S = 20.0
LIST_EVERY_S, ASK_EVERY_S, LOOK_EVERY_S = 0.05, 1.0, 2.0
CHATS = 50
FREE = 0.1  # of a core: a worker that uses less has nothing to do
FREE_WITHIN_S = 0.25
ALL, WARM, BUSY, MORE, MANY = "all", "warm", "busy", "more", "many"
BUSY_FILES = 300
CALL_TIMEOUT_S = 3_600


class Seen(msgspec.Struct):
    """Milliseconds of each answer, and the memory of the API and of the worker that parses, with its children, as time went on."""

    lists: list[float] = []
    queries: list[float] = []
    api: list[list[Memory]] = []
    parser: list[list[Memory]] = []


class Whole(msgspec.Struct, frozen=True, kw_only=True):
    """A run over a folder. Seconds from its beginning until everything, and until the first passage, was found."""

    took_s: float
    first_s: float
    chunks: int


class Bench:
    """A product with a user who ingests."""

    def __init__(self, ada: Account, pid: int, key: str, folder: Path) -> None:
        self.ada = ada
        self._pid = pid
        self._key = key
        self._report = folder / "report.json"
        self._bases: dict[str, str] = {}

    def processes(self, name: str) -> list[Process]:
        """The product's, by the words of their command, with all below them."""
        roots = [process for process in family(self._pid) if process.name.startswith(name)]
        return [process for root in roots for process in family(root.pid)]

    async def begin(self, folder: Path) -> asyncio.subprocess.Process:
        """``penstock ingest`` into a base that is called like the folder, begun."""
        words = ("penstock", "ingest", str(folder), "--knowledge", folder.name, "--server", self.ada.url, "--report", str(self._report))
        environment = {**await HERE.environment(), "PENSTOCK_API_KEY": self._key}
        nowhere = asyncio.subprocess.DEVNULL
        return await asyncio.create_subprocess_exec(*HERE.command("-m", *words), env=environment, stdout=nowhere, stderr=nowhere)

    async def end(self, process: asyncio.subprocess.Process) -> dict[str, Any]:
        """Its report, when it has ended and nothing has failed."""
        code = await asyncio.wait_for(process.wait(), CALL_TIMEOUT_S)
        report: dict[str, Any] = msgspec.json.decode(self._report.read_bytes())
        assert code == 0, report
        return report

    async def base(self, name: str) -> str:
        """A base's id, as soon as it is there."""
        while name not in self._bases:
            bases = msgspec.json.decode(await self.ada.ask("/api/knowledge/list"))
            self._bases |= {base["name"]: base["id"] for base in bases}
        return self._bases[name]

    async def ask(self, base: str, question: str, mode: str = "hybrid") -> list[dict[str, Any]]:
        """The passages that are found."""
        body = {"query": question, "knowledge_ids": [await self.base(base)], "mode": mode, "top_k": 5}
        return list(msgspec.json.decode(await self.ada.ask("/api/retrieval/query", msgspec.json.encode(body)))["results"])

    async def remove(self, base: str, file_id: str) -> None:
        """A file goes, out of the base and altogether."""
        path = f"/api/knowledge/{await self.base(base)}/file/remove?delete_file=true"
        await self.ada.ask(path, msgspec.json.encode({"file_id": file_id}))

    async def ready(self, base: str) -> int:
        """How many files of a base can be found."""
        files = msgspec.json.decode(await self.ada.ask(f"/api/knowledge/{await self.base(base)}/files?limit=5000"))
        return sum(file["status"] == "ready" for file in files)

    async def busiest(self) -> float:
        """What the busiest worker uses of a core, now."""
        names = ("-m workers gpu", "-m workers cpu")
        before, began = [sum(each.cpu_s for each in self.processes(name)) for name in names], time.perf_counter()
        await asyncio.sleep(FREE_WITHIN_S)
        used = [sum(each.cpu_s for each in self.processes(name)) - was for name, was in zip(names, before, strict=True)]
        return max(used) / (time.perf_counter() - began)

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[Seen]:
        """What happens to others until the block ends."""
        seen = Seen()

        async def look() -> None:
            for name, sizes in (("-m api", seen.api), ("-m workers cpu", seen.parser)):
                with suppress(OSError):  # a child has ended meanwhile
                    sizes.append([memory(process.pid) for process in self.processes(name)])

        async def list_chats() -> None:
            seen.lists.append(await _took_ms(self.ada.ask("/api/chats/")))

        async def query() -> None:
            seen.queries.append(await _took_ms(self.ask(WARM, f"How is a name bound in block {len(seen.queries)}?")))

        works = (list_chats, LIST_EVERY_S), (query, ASK_EVERY_S), (look, LOOK_EVERY_S)
        tasks = [asyncio.create_task(_again_and_again(do, every_s)) for do, every_s in works]
        try:
            yield seen
        finally:
            for task in tasks:
                task.cancel()
            for ended in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(ended, Exception):
                    raise ended


async def measure() -> AsyncGenerator[Row, None]:
    """All of it over one product."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = await asyncio.to_thread(documents, folder / ALL, FILES, BYTES)
        await asyncio.to_thread(documents, folder / WARM, 5, BYTES, 1)
        await asyncio.to_thread(documents, folder / MORE, STOPPED_FILES, BYTES, 2)
        await asyncio.to_thread(documents, folder / BUSY, BUSY_FILES, BYTES, 4)
        await asyncio.to_thread(documents, folder / MANY, MANY_FILES, MANY_BYTES, 3)
        (folder / "product").mkdir()
        async with product(folder / "product") as running, administrator(running) as ada:
            await ada.fill(CHATS)
            key = msgspec.json.decode(await ada.ask("/api/users/api_key", b'{"name": "benchmark"}'))["api_key"]
            bench = Bench(ada, running.pid, key, folder)
            await bench.end(await bench.begin(folder / WARM))  # what is loaded when it is first needed
            whole = await _whole(bench, folder / ALL, FILES)
            said = f"{FILES} files, {whole.chunks} passages, {FILES / whole.took_s:.2f} files/s"
            yield Row(what="all files searchable", measured=whole.took_s, unit="s", note=said)
            yield Row(what="the first file found", measured=whole.first_s, at_most=5, unit="s", note="from the command's start")
            async with bench.watched() as idle:
                await asyncio.sleep(IDLE_S)
            async with bench.watched() as busy:
                await _whole(bench, folder / BUSY, BUSY_FILES)
            for row in _latencies(busy, idle):
                yield row
            async for row in _afterwards(bench, folder):
                yield row
            async with bench.watched() as many:
                await _whole(bench, folder / MANY, MANY_FILES)
            for row in _memory(many):
                yield row
            yield await _again(bench, folder / MANY)
        sample = "\n".join(map(str, files[::SAMPLED]))
        async for row in children.measured("benchmarks.ingestion_alone", sample, str(whole.took_s / FILES)):
            yield row


async def _whole(bench: Bench, folder: Path, files: int) -> Whole:
    began = time.perf_counter()
    process = await bench.begin(folder)
    await until(lambda: bench.ask(folder.name, "name", "keyword"), "a passage is found", timeout_s=CALL_TIMEOUT_S)
    first_s = time.perf_counter() - began
    report = await bench.end(process)
    took_s = time.perf_counter() - began
    assert report["ready"] == files, report
    return Whole(took_s=took_s, first_s=first_s, chunks=report["chunks"])


def _latencies(busy: Seen, idle: Seen) -> Iterator[Row]:
    p99 = [statistics.quantiles(seen.lists, n=100)[98] for seen in (busy, idle)]
    note = f"{p99[0]:.1f} / {p99[1]:.1f} ms; p50 {statistics.median(busy.lists):.1f} / {statistics.median(idle.lists):.1f} ms"
    yield Row(what="p99 of `GET /api/chats/` during ingestion, against idle", measured=p99[0] / p99[1], at_most=2, note=note)
    p50 = [statistics.median(seen.queries) for seen in (busy, idle)]
    note = f"{p50[0]:.1f} / {p50[1]:.1f} ms"
    yield Row(what="a query during ingestion, against idle, p50", measured=p50[0] / p50[1], at_most=2, note=note)


def _memory(busy: Seen) -> Iterator[Row]:
    """Of one document after the other: what the first 1,000 needed, against all that came after."""
    for what, sizes in (("web process", busy.api), ("worker that parses, with its children", busy.parser)):
        first = max(1, len(sizes) * 1_000 // MANY_FILES)
        parts = sizes[:first], sizes[first:]
        early, late = (max(sum(each.anonymous for each in held) for held in part) / 2**20 for part in parts)
        mapped = [max(sum(each.proportional for each in held) for held in part) / 2**20 for part in parts]
        note = f"{late:.0f} / {early:.0f} MB at most; with the vector store's file, which it has mapped, {mapped[1]:.0f} / {mapped[0]:.0f}"
        yield Row(
            what=f"memory of the {what}, after the first 1,000 of {MANY_FILES:,} documents", measured=late / early, at_most=1.1, note=note
        )


async def _again(bench: Bench, folder: Path) -> Row:
    began = time.perf_counter()
    report = await bench.end(await bench.begin(folder))
    assert (report["unchanged"], report["ready"]) == (MANY_FILES, 0), report
    took_s = time.perf_counter() - began
    return Row(what=f"the same {MANY_FILES:,} files again, none embedded", measured=took_s, at_most=5, unit="s")


async def _afterwards(bench: Bench, folder: Path) -> AsyncGenerator[Row, None]:
    word = sign(0, 7)

    async def gone() -> bool:
        return not any(word in passage["content"] for passage in await bench.ask(ALL, word, "keyword"))

    assert not await gone()
    (found, *_) = await bench.ask(ALL, word, "keyword")
    began = time.perf_counter()
    await bench.remove(ALL, found["metadata"]["file_id"])
    await until(gone, "the file is gone", timeout_s=CALL_TIMEOUT_S)
    yield Row(what="a deleted file is gone from search", measured=time.perf_counter() - began, at_most=1, unit="s")

    process = await bench.begin(folder / MORE)

    async def some_are_ready() -> bool:
        return await bench.ready(MORE) >= STOPPED_AFTER

    await until(some_are_ready, f"{STOPPED_AFTER} files are ready", timeout_s=CALL_TIMEOUT_S)
    began = time.perf_counter()
    process.send_signal(signal.SIGINT)
    while await bench.busiest() > FREE:
        pass
    free_s = max(0.0, time.perf_counter() - began - FREE_WITHIN_S)
    await process.wait()
    yield Row(what="from Ctrl-C until the workers are free", measured=free_s, at_most=1, unit="s")


async def _again_and_again(do: Callable[[], Awaitable[None]], every_s: float) -> None:
    while True:
        await do()
        await asyncio.sleep(every_s)


async def _took_ms(done: Awaitable[object]) -> float:
    began = time.perf_counter()
    await done
    return (time.perf_counter() - began) * 1000


if __name__ == "__main__":
    asyncio.run(show(measure()))
