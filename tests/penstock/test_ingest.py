"""Folders go into knowledge bases by the command line, over a real server with a worker's parts behind it."""

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from core.errors import PenstockError, SettingsError, Unavailable
from core.settings import Settings
from penstock import ingest, local_files, sync
from penstock.local_files import Choice
from penstock.server import Server
from tests.api.conftest import Client, ada, bob, eve, visitor
from tests.knowledge_work import MILL, CountingWords, embedder, worker
from tests.polling import until
from tests.ports import free_port
from tests.serving import app, quick_passwords, services, url
from tests.workers.actors.test_indexing import ask

__all__ = ["ada", "app", "bob", "embedder", "eve", "quick_passwords", "services", "url", "visitor", "worker"]


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return msgspec.structs.replace(settings, rate_limit_per_minute=0, max_upload_mb=1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twelve files of text in two folders, and what is not to be taken."""
    root = tmp_path / "docs"
    for place in ("deep", ".git", ".hidden"):
        (root / place).mkdir(parents=True)
    for number in range(12):
        (root / ("deep" if number % 2 else "") / f"mill {number}.md").write_bytes(MILL + b"%d\n" % number)
    (root / ".git" / "config").write_text("[core]")
    (root / ".hidden" / "secret.md").write_text("secret")
    (root / "empty.md").touch()
    (tmp_path / "outside.md").write_text("What lies outside.")
    (root / "out.md").symlink_to(tmp_path / "outside.md")
    (root / "in.md").symlink_to(root / "mill 0.md")
    (root / "round").symlink_to(root)
    os.mkfifo(root / "pipe.md")
    return root


class Runner:
    """Runs the command for somebody."""

    def __init__(self, client: Client, report: Path) -> None:
        self.client = client
        self.report = report
        self.key = ""

    async def run(self, *paths: Path, **more: Any) -> tuple[int, dict[str, Any]]:
        """The exit code, and the report."""
        run = ingest._Run(self.wanted(*paths, **more), self.client.url)
        code = await run.go()
        found: dict[str, Any] = msgspec.json.decode(self.report.read_bytes())
        return code, found

    def wanted(self, *paths: Path, **more: Any) -> ingest.Wanted:
        fields = {"knowledge": "Docs", "choice": Choice(), "api_key": self.key, "report": self.report, **more}
        return ingest.Wanted(paths=paths, **fields)

    async def entries(self) -> dict[str, dict[str, Any]]:
        (base,) = (await self.client.get("/api/knowledge/list")).body
        rows = (await self.client.get(f"/api/knowledge/{base['id']}/files")).body
        return {row["path"]: row for row in rows}


@pytest.fixture
async def runner(bob: Client, tmp_path: Path) -> Runner:
    runner = Runner(bob, tmp_path / "report.json")
    runner.key = (await bob.post("/api/users/api_key", {"name": "ingest"})).body["api_key"]
    return runner


@pytest.mark.usefixtures("worker")
async def test_a_folder_is_put_in_once_and_then_only_what_has_changed(
    runner: Runner, folder: Path, embedder: CountingWords, capsys: pytest.CaptureFixture[str]
) -> None:
    code, report = await runner.run(folder)
    assert (code, report["files"], report["ready"], report["failed"], report["chunks"]) == (0, 13, 13, 0, 26)
    entries = await runner.entries()
    assert sorted(entries)[:2] == ["docs/deep/mill 1.md", "docs/deep/mill 11.md"]
    assert {path for path in entries if "mill" not in path} == {"docs/in.md"}
    assert "Docs: 13 files are ready (0 pages, 26 chunks), 0 unchanged, in " in capsys.readouterr().out
    base_id = report["knowledge_id"]
    (hit, *_) = await ask(runner.client, base_id, "Who plays the violin?")
    assert hit["metadata"]["path"].startswith("docs/")
    embedder.texts.clear()
    code, report = await runner.run(folder)
    assert (code, report["unchanged"], report["ready"], embedder.texts) == (0, 13, 0, [])
    changed = folder / "mill 2.md"
    changed.write_bytes(changed.read_bytes().replace(b"corn", b"moon"))
    (folder / "new.md").write_text("The moon.")
    (folder / "mill 4.md").unlink()
    code, report = await runner.run(folder, prune=True)
    assert (code, report["unchanged"], report["ready"], report["pruned"]) == (0, 11, 2, 1)
    assert len(embedder.texts) == 2
    assert "docs/mill 4.md" not in await runner.entries()
    assert len(await ask(runner.client, base_id, "The moon", top_k=50)) == 25


@pytest.mark.usefixtures("worker")
async def test_each_file_that_fails_is_named_and_the_others_are_there(
    runner: Runner, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "broken.pdf").write_bytes(b"%PDF-1.7\n1 0 obj\n<<")
    (folder / "large.txt").write_bytes(b"Too large. " * 400_000)
    (folder / os.fsdecode(b"caf\xe9.md")).write_text("Coffee.")
    unreadable = folder / "unreadable.md"
    unreadable.symlink_to("unreadable.md")
    code, report = await runner.run(folder)
    failures = {failure["path"]: failure["reason"] for failure in report["failures"]}
    assert (code, report["ready"], sorted(failures)) == (
        1,
        13,
        ["docs/broken.pdf", "docs/caf\N{REPLACEMENT CHARACTER}.md", "docs/large.txt"],
    )
    assert "larger than 1 MB" in failures["docs/large.txt"]
    assert "UTF-8" in failures["docs/caf\N{REPLACEMENT CHARACTER}.md"]
    assert f"failed: docs/broken.pdf: {failures['docs/broken.pdf']}" in capsys.readouterr().out
    (folder / "large.txt").write_text("Not so large.")
    (folder / os.fsdecode(b"caf\xe9.md")).unlink()
    code, report = await runner.run(folder)
    assert (code, report["unchanged"], report["ready"], report["failed"]) == (1, 13, 1, 1), "the broken one is tried again"
    (folder / "broken.pdf").unlink()
    code, report = await runner.run(folder, prune=True)
    assert (code, report["unchanged"], report["pruned"]) == (0, 14, 1)


@pytest.mark.usefixtures("worker")
async def test_what_a_killed_run_has_sent_and_not_put_in_is_not_sent_again(
    runner: Runner, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Server(runner.client.url, runner.key, print)
    base = await server.create_base("Docs")
    found = (await asyncio.to_thread(local_files.find, [folder], Choice())).found
    for path in ("docs/mill 0.md", "docs/mill 2.md", "docs/mill 4.md"):
        await server.upload(base, found[path])
    await server.close()
    (folder / "mill 2.md").write_bytes(MILL.replace(b"corn", b"moon"))
    monkeypatch.setattr(sync, "LEFT_S", -2)
    code, report = await runner.run(folder)
    assert (code, report["ready"]) == (0, 13)
    files = (await runner.client.get("/api/files/")).body
    assert len(files) == 13, "those that fit were taken up, and the one that did not was deleted"


@pytest.mark.usefixtures("worker")
async def test_patterns_choose_and_what_was_not_looked_at_is_never_taken_out(runner: Runner, folder: Path) -> None:
    (folder / "notes.txt").write_text("The mill.")
    other = folder.parent / "other"
    other.mkdir()
    (other / "page.md").write_text("The moon.")
    await runner.run(folder, other)
    assert len(await runner.entries()) == 15
    code, report = await runner.run(folder, prune=True, choice=Choice(include=("*.md",), exclude=("deep", "in.*")))
    assert (code, report["files"], report["pruned"]) == (0, 6, 8)
    assert "other/page.md" in await runner.entries()


async def test_one_that_waits_for_workers_says_where_to_look(runner: Runner, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sync, "STILL_S", 0.0)
    run = ingest._Run(runner.wanted(folder), runner.client.url)
    task = asyncio.ensure_future(run.go())
    await until(lambda: asyncio.sleep(0, "`penstock status`" in run._progress.line()), "it says so", timeout_s=60)
    task.cancel()
    assert await task == ingest.STOPPED


async def test_one_that_is_stopped_frees_the_workers_and_goes_on_when_it_is_run_again(
    runner: Runner, folder: Path, worker: Any, embedder: CountingWords
) -> None:
    embedder.fails = 1_000_000
    run = ingest._Run(runner.wanted(folder), runner.client.url)
    task = asyncio.ensure_future(run.go())

    async def embedding() -> bool:
        bases = (await runner.client.get("/api/knowledge/list")).body
        return bool(bases) and any(row["status"] == "embedding" for row in (await runner.entries()).values())

    await until(embedding, "some are being embedded", timeout_s=60)
    os.kill(os.getpid(), signal.SIGINT)
    assert await task == ingest.STOPPED
    assert msgspec.json.decode(runner.report.read_bytes())["stopped"] is True
    await until(lambda: asyncio.sleep(0, not len(worker.leases)), "the worker is free", timeout_s=1)
    embedder.fails = 0
    code, report = await runner.run(folder)
    assert report["failures"] == []
    assert (code, len(await runner.entries())) == (0, 13)


@pytest.mark.usefixtures("worker")
async def test_a_folder_that_is_watched_is_put_in_again_when_it_changes(
    runner: Runner, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest, "WATCH_S", 0.05)
    task = asyncio.ensure_future(ingest._Run(runner.wanted(folder, watch=True, prune=True), runner.client.url).go())

    async def there(path: str) -> bool:
        bases = (await runner.client.get("/api/knowledge/list")).body
        return bool(bases) and (await runner.entries()).get(path, {}).get("status") == "ready"

    await until(lambda: there("docs/mill 2.md"), "the folder is there", timeout_s=60)
    (folder / "later.md").write_text("Later, the moon.")
    await until(lambda: there("docs/later.md"), "what came later is there", timeout_s=60)
    task.cancel()
    assert await task == ingest.STOPPED


async def test_what_cannot_be_followed_is_said_in_a_line(
    runner: Runner, folder: Path, settings: Settings, eve: Client, tmp_path: Path
) -> None:
    async def refusal(*paths: Path, url: str = runner.client.url, **more: Any) -> PenstockError:
        with pytest.raises(PenstockError) as caught:
            await ingest._Run(runner.wanted(*paths, **more), url).go()
        return caught.value

    assert "does not know this API key" in (await refusal(folder, api_key="sk-wrong")).detail
    down = await refusal(folder, url=f"http://127.0.0.1:{free_port()}")
    assert isinstance(down, Unavailable)
    assert "cannot be reached" in down.detail
    (tmp_path / "nothing").mkdir()
    assert "There is no file to ingest" in (await refusal(tmp_path / "nothing")).detail
    for _ in range(2):
        await runner.client.post("/api/knowledge/create", {"name": "Twice"})
    assert "Name one by its id" in (await refusal(folder, knowledge="Twice")).detail
    hers = (await eve.post("/api/knowledge/create", {"name": "Hers", "access_control": None})).body["id"]
    assert "whose files you may change" in (await refusal(folder, knowledge=hers)).detail
    assert hers not in {base["id"] for base in (await runner.client.get("/api/knowledge/list")).body}
    for wanted, words in (
        (runner.wanted(tmp_path / "nowhere"), "There is no "),
        (runner.wanted(folder, folder / ".." / "docs"), "have the same name"),
        (runner.wanted(folder), "No `penstock up` runs"),
        (runner.wanted(folder, server="somewhere"), "is not the address of a server"),
        (runner.wanted(folder, server=runner.client.url, api_key=""), "No API key is given"),
        (runner.wanted(folder, server=runner.client.url, report=tmp_path / "no" / "report"), "cannot be written"),
    ):
        with pytest.raises(SettingsError, match=words):
            await asyncio.to_thread(ingest.ingest, settings, wanted)
