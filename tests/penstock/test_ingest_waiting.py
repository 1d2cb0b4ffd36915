"""Where nobody serves an embedding model, files, jobs and the command say what they wait for, and go on by themselves when one comes."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from core.jobs import EMBED, INDEX, PARSE
from core.models.pools import Pool
from core.services import Services
from penstock import ingest
from tests.api.conftest import ada, bob, visitor
from tests.knowledge_work import MODEL, CountingWords, embedder
from tests.penstock.test_ingest import Runner, runner
from tests.polling import until
from tests.serving import app, quick_passwords, services, url
from tests.serving_models import serve_models
from tests.worker_parts import working
from workers.actors.embeddings import Embeddings
from workers.actors.indexing import IndexingParts
from workers.actors.parsing import LIMITS, Parsing
from workers.children import Children

__all__ = ["ada", "app", "bob", "embedder", "quick_passwords", "runner", "services", "url", "visitor"]


@pytest.fixture
async def reader(services: Services) -> AsyncIterator[None]:
    """A worker that reads and indexes, and none that embeds."""
    async with Children(LIMITS, 2) as children:
        actors: dict[str, Any] = {
            PARSE: Parsing(files=services.files, documents=services.documents, children=children),
            INDEX: IndexingParts.of(services),
        }
        async with working(services, "cpu", actors):
            yield


@pytest.mark.usefixtures("reader")
async def test_what_is_wanting_is_said_everywhere_and_it_goes_on_when_that_comes(
    runner: Runner,
    services: Services,
    embedder: CountingWords,
    tmp_path: Path,
) -> None:
    folder = tmp_path / "docs"
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}.md").write_text(f"The mill {number}.")
    run = ingest._Run(runner.wanted(folder), runner.client.url)
    task = asyncio.ensure_future(run.go())
    await until(lambda: "Waiting: No embedding model is served yet." in run._progress.line(), "the command says so", timeout_s=60)
    entries = await runner.entries()
    assert {entry["waiting"][:33] for entry in entries.values() if entry["waiting"]} == {"No embedding model is served yet."}
    (job_id,) = {entry["job_id"] for entry in entries.values()}
    jobs = [(await runner.client.get(f"/api/jobs/{job_id}")).body, *(await runner.client.get("/api/jobs/")).body]
    assert {(job["status"], job["waiting"][:33]) for job in jobs} == {("in_progress", "No embedding model is served yet.")}
    await serve_models(services, MODEL, worker_id="gpu")
    async with working(services, "gpu", {EMBED[Pool.GPU]: Embeddings(results=services.results, embedder=embedder)}, (MODEL.id,)):
        assert await task == 0
    assert {(entry["status"], entry["waiting"]) for entry in (await runner.entries()).values()} == {("ready", None)}
    assert (await runner.client.get(f"/api/jobs/{job_id}")).body["waiting"] is None
    assert run._progress.waiting == ""
