"""``penstock ingest`` as a program of its own, which may be killed at any time, and how it shows what it does."""

import asyncio
import io
import os
import signal
import sys
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from core.services import Services
from core.settings import Settings
from core.storage.vectors.port import Selection, VectorSpace
from penstock.sync_progress import Progress, duration, shown
from tests.api.conftest import Client, ada, bob, visitor
from tests.knowledge_work import MILL, WORDS, CountingWords, embedder, worker
from tests.polling import until
from tests.serving import app, quick_passwords, services, url

__all__ = ["ada", "app", "bob", "embedder", "quick_passwords", "services", "url", "visitor", "worker"]

FILES = 60


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return msgspec.structs.replace(settings, rate_limit_per_minute=0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "docs"
    root.mkdir()
    for number in range(FILES):
        (root / f"{number}.md").write_bytes(MILL + b"%d\n" % number)
    return root


async def program(folder: Path, client: Client, key: str, *options: str) -> asyncio.subprocess.Process:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PENSTOCK_")}  # noqa: TID251 - handing it on
    command = (sys.executable, "-m", "penstock", "ingest", str(folder), "--knowledge", "Docs", "--server", client.url, *options)
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(*command, env=inherited | {"PENSTOCK_API_KEY": key}, stdout=pipe, stderr=pipe)


async def ended(process: asyncio.subprocess.Process) -> tuple[int | None, str, str]:
    out, err = await asyncio.wait_for(process.communicate(), 60)
    return process.returncode, out.decode(), err.decode()


async def states(client: Client) -> list[str]:
    rows: list[str] = []
    for base in (await client.get("/api/knowledge/list")).body:
        rows += [row["status"] for row in (await client.get(f"/api/knowledge/{base['id']}/files")).body]
    return rows


@pytest.mark.usefixtures("worker")
async def test_one_that_is_killed_goes_on_where_it_was_and_does_nothing_twice(
    bob: Client, folder: Path, embedder: CountingWords, services: Services
) -> None:
    embedder.fails = 1_000_000
    key = (await bob.post("/api/users/api_key", {"name": "ingest"})).body["api_key"]
    process = await program(folder, bob, key)

    async def some() -> bool:
        return "embedding" in await states(bob)

    await until(some, "some are being embedded", timeout_s=60)
    process.kill()
    await process.wait()
    embedder.fails = 0
    code, out, err = await ended(await program(folder, bob, key))
    assert (code, out[:6]) == (0, "Docs: "), err
    assert await states(bob) == ["ready"] * FILES
    assert len((await bob.get("/api/files/")).body) == FILES
    (base,) = (await bob.get("/api/knowledge/list")).body
    store, space = await services.vectors.open(), VectorSpace(model="words", dimensions=len(WORDS) + 1)
    assert await store.count(space, Selection(collection=base["id"])) == 2 * FILES
    embedder.texts.clear()
    assert "files/s" in err
    assert key not in out + err
    assert services.settings.secret_key not in out + err
    code, out, _ = await ended(await program(folder, bob, key, "--prune"))
    assert (code, f"0 files are ready (0 pages, 0 chunks), {FILES} unchanged" in out, embedder.texts) == (0, True, [])


async def test_a_wrong_call_is_told_in_a_line_and_ends_with_2(bob: Client, folder: Path) -> None:
    code, out, err = await ended(await program(folder, bob, "sk-wrong"))
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert "does not know this API key" in err
    assert "sk-wrong" not in err


async def test_ctrl_c_ends_it_cleanly_and_says_how_to_go_on(bob: Client, folder: Path, worker: object, embedder: CountingWords) -> None:
    assert worker
    embedder.fails = 1_000_000
    key = (await bob.post("/api/users/api_key", {"name": "ingest"})).body["api_key"]
    process = await program(folder, bob, key)

    async def embedding() -> bool:
        return "embedding" in await states(bob)

    await until(embedding, "some are being embedded", timeout_s=60)
    process.send_signal(signal.SIGINT)
    code, out, err = await ended(process)
    assert (code, "run the same command again to go on" in out, "Traceback" in err) == (130, True, False)
    assert set(await states(bob)) == {"failed"}


async def test_a_terminal_sees_a_bar_that_changes_and_what_failed_last() -> None:
    progress = Progress(step="indexing", wanted=10, ready=3, sent=9, pages=4, chunks=20, failures={"a.pdf": "No text."}, waiting="Busy.")
    screen = io.StringIO()
    async with shown(progress, Console(file=screen, force_terminal=True, width=200)):
        await until(lambda: asyncio.sleep(0, "20 chunks" in screen.getvalue()), "it is shown")
        progress.ready = 9
        await until(lambda: asyncio.sleep(0, "10 of 10 files" in screen.getvalue()), "it changes")
    for words in ("indexing, 4 of 10 files, 9 sent", "1 failed. Busy.", "failed: a.pdf: No text.", "━"):
        assert words in screen.getvalue()


def test_durations_are_told_in_short_words() -> None:
    assert [duration(seconds) for seconds in (0.4, 59, 61, 3_600, 90_000)] == ["0 s", "59 s", "1 min 1 s", "1 h 0 min", "25 h 0 min"]
