"""Many files go into a base by one job: followed, stopped, tried again, and begun again where Redis has lost them."""

import asyncio
from typing import Any

import pytest

from core.jobs import PARSE
from core.models.jobs import JobSpec
from core.redis.keys import batch_keys
from core.services import Services
from core.services.files.processing import job_id_of
from core.services.knowledge import ingest_jobs, upkeep
from tests.api.conftest import Client, ada, bob, eve, visitor
from tests.api.forms import HEADERS, file_form, uploaded
from tests.knowledge_work import MILL, CountingWords, base_of, embedder, worker
from tests.polling import until
from tests.serving import app, quick_passwords, services, url
from tests.worker_parts import WorkerParts
from tests.workers.actors.test_indexing import ask, settings

__all__ = ["ada", "app", "bob", "embedder", "eve", "quick_passwords", "services", "settings", "url", "visitor", "worker"]

BROKEN = b"%PDF-1.7\n1 0 obj\n<<"
QUEUE = "cpu.index.bulk"


async def sent(client: Client, name: str, data: bytes) -> dict[str, str]:
    """A file that nobody reads for now, and its place."""
    reply = await client.post("/api/files/?process=false", file_form(data, name), headers=HEADERS)
    assert reply.status == 201, reply
    return {"path": f"docs/{name}", "file_id": reply.body["id"]}


async def ingest(client: Client, knowledge_id: str, *files: dict[str, str], managed: bool = True) -> dict[str, Any]:
    reply = await client.post(f"/api/knowledge/{knowledge_id}/ingest", {"files": files, "managed": managed})
    assert reply.status == 201, reply
    body: dict[str, Any] = reply.body
    return body


async def ended(client: Client, job_id: str) -> dict[str, Any]:
    async def look() -> dict[str, Any] | None:
        body: dict[str, Any] = (await client.get(f"/api/jobs/{job_id}")).body
        return body if body["status"] != "in_progress" else None

    found: dict[str, Any] = await until(look, "the job has ended", timeout_s=60)
    return found


async def entries(client: Client, knowledge_id: str) -> dict[str, dict[str, Any]]:
    rows = (await client.get(f"/api/knowledge/{knowledge_id}/files")).body
    return {row["path"]: row for row in rows}


@pytest.mark.usefixtures("worker")
async def test_files_are_put_in_by_one_job_and_what_is_there_is_left_alone(bob: Client, embedder: CountingWords) -> None:
    knowledge_id = await base_of(bob)
    files = [await sent(bob, f"mill-{number}.md", MILL + b"%d" % number) for number in range(40)]
    job = await ended(bob, (await ingest(bob, knowledge_id, *files))["id"])
    assert (job["status"], job["total"], job["completed"], job["failed"], job["chunks"], job["failures"]) == ("finished", 40, 40, 0, 80, [])
    async with bob.session.get(f"{bob.url}/api/jobs/{job['id']}/events", headers=bob.headers) as response:
        told = (await response.text()).strip().split("\n\n")
    assert [words.split("\n")[0] for words in told[-2:]] == ["event: progress", "event: finished"]
    assert '"completed":40,"failed":0' in told[-2]
    found = await entries(bob, knowledge_id)
    assert {row["status"] for row in found.values()} == {"ready"}
    assert {row["job_id"] for row in found.values()} == {job["id"]}
    first = (await bob.get(f"/api/knowledge/{knowledge_id}/files?limit=30")).body
    rest = (await bob.get(f"/api/knowledge/{knowledge_id}/files?limit=30&after={first[-1]['id']}")).body
    assert [row["path"] for row in (*first, *rest)] == [file["path"] for file in files]
    count = len(embedder.texts)
    again = await ingest(bob, knowledge_id, *files)
    assert (await ended(bob, again["id"]))["total"] == 0
    assert len(embedder.texts) == count
    assert [row["id"] for row in (await bob.get("/api/jobs/")).body] == [again["id"], job["id"]]


@pytest.mark.usefixtures("worker")
async def test_what_failed_is_named_with_its_reason_and_alone_tried_again(bob: Client, eve: Client, ada: Client) -> None:
    knowledge_id = await base_of(bob)
    files = [await sent(bob, "mill.md", MILL), await sent(bob, "broken.pdf", BROKEN)]
    job = await ended(bob, (await ingest(bob, knowledge_id, *files))["id"])
    assert (job["status"], job["completed"], job["failed"]) == ("finished", 1, 1)
    (failure,) = job["failures"]
    assert (failure["path"], len(failure["error"]) > 10) == ("docs/broken.pdf", True)
    assert (await eve.post(f"/api/jobs/{job['id']}/retry", {})).status == 404
    retried = await bob.post(f"/api/jobs/{job['id']}/retry", {})
    assert (retried.status, retried.body["total"]) == (201, 1)
    assert (await ended(bob, retried.body["id"]))["failures"] == [failure]
    assert (await bob.get(f"/api/jobs/{job['id']}")).body["completed"] == 1
    assert (await eve.get("/api/jobs/")).body == []
    assert len((await ada.get("/api/jobs/")).body) == 2


@pytest.mark.usefixtures("worker")
async def test_a_replaced_file_that_was_sent_for_its_place_is_deleted_later_and_another_is_not(
    bob: Client, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "SEARCH_S", -2)
    knowledge_id = await base_of(bob)
    kept, managed, last = [await sent(bob, "mill.md", MILL.replace(b"moon", word)) for word in (b"sun", b"stars", b"night")]
    for file, is_managed in ((kept, False), (managed, True), (last, True)):
        await ended(bob, (await ingest(bob, knowledge_id, file, managed=is_managed))["id"])
        await services.upkeep._knowledge_upkeep.clean()
    assert [(await bob.get(f"/api/files/{file['file_id']}")).status for file in (kept, managed, last)] == [200, 404, 200]
    assert {hit["metadata"]["file_id"] for hit in await ask(bob, knowledge_id, "violin", top_k=10)} == {last["file_id"]}
    await bob.delete(f"/api/knowledge/{knowledge_id}")
    await services.upkeep._knowledge_upkeep.clean()
    assert [(await bob.get(f"/api/files/{file['file_id']}")).status for file in (kept, last)] == [200, 404]


async def test_a_cancelled_job_stops_what_runs_and_never_begins_what_waits(
    bob: Client, services: Services, worker: WorkerParts, embedder: CountingWords
) -> None:
    embedder.fails = 1_000_000
    knowledge_id = await base_of(bob)
    files = [await sent(bob, f"mill-{number}.md", MILL) for number in range(50)]
    job_id = (await ingest(bob, knowledge_id, *files))["id"]

    async def embedding() -> bool:
        return any(row["status"] == "embedding" for row in (await entries(bob, knowledge_id)).values())

    await until(embedding, "some are being embedded", timeout_s=60)
    assert (await bob.post(f"/api/jobs/{job_id}/retry", {})).status == 409
    stopped = (await bob.post(f"/api/jobs/{job_id}/cancel", {})).body
    assert (stopped["status"], stopped["failed"] + stopped["completed"]) == ("cancelled", 50)
    async with asyncio.timeout(1):
        await until(lambda: asyncio.sleep(0, not len(worker.leases)), "the worker is free")
    assert {row["error"] for row in (await entries(bob, knowledge_id)).values()} == {ingest_jobs.STOPPED}
    events = await services.events.read(job_id)
    assert [event.__struct_config__.tag for _, event in events][-1] == "cancelled"
    embedder.fails = 0
    retried = (await bob.post(f"/api/jobs/{job_id}/retry", {})).body
    done = await ended(bob, retried["id"])
    assert {failure["error"] for failure in done["failures"]} == set()
    assert done["completed"] == 50
    assert (await bob.post(f"/api/jobs/{job_id}/cancel", {})).body["status"] == "cancelled"


async def test_what_redis_loses_goes_on(bob: Client, services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "YOUNG_S", 0)
    monkeypatch.setattr(ingest_jobs, "YOUNG_S", 0)
    knowledge_id = await base_of(bob)
    files = [await sent(bob, f"mill-{number}.md", MILL) for number in range(3)]
    job_id = (await ingest(bob, knowledge_id, *files))["id"]
    await services.scripts.command("UNLINK", *batch_keys(job_id))
    assert (await bob.get(f"/api/jobs/{job_id}")).body["status"] == "in_progress"
    await services.upkeep._knowledge_upkeep.begin_lost()
    assert len(await services.queue.waiting(QUEUE, 10)) == 6


@pytest.mark.usefixtures("worker")
async def test_whoever_waits_for_a_file_of_a_job_is_told_when_it_is_ready(bob: Client) -> None:
    knowledge_id = await base_of(bob)
    files = [await sent(bob, f"mill-{number}.md", MILL + b"%d" % number) for number in range(4)]
    await ingest(bob, knowledge_id, *files)
    done = await bob.post("/api/retrieval/process?wait=true", {"file_id": files[-1]["file_id"], "knowledge_id": knowledge_id})
    assert (done.body["state"], done.body["chunks"]) == ("ready", 2)


async def test_what_cannot_be_used_is_refused_and_nothing_is_begun(bob: Client, eve: Client) -> None:
    knowledge_id = await base_of(bob)
    mine, hers = await uploaded(bob), await uploaded(eve)
    for path in ("../up.md", "/etc/passwd", "a//b", "a/./b", "a\nb", "x" * 1_025, ""):
        reply = await bob.post(f"/api/knowledge/{knowledge_id}/ingest", {"files": [{"path": path, "file_id": mine["id"]}]})
        assert reply.status == 400, path
    twice = [{"path": "a.md", "file_id": mine["id"]}] * 2
    assert (await bob.post(f"/api/knowledge/{knowledge_id}/ingest", {"files": twice})).status == 400
    assert (await bob.post(f"/api/knowledge/{knowledge_id}/ingest", {"files": []})).status == 400
    foreign = [{"path": "a.md", "file_id": mine["id"]}, {"path": "b.md", "file_id": hers["id"]}]
    assert (await bob.post(f"/api/knowledge/{knowledge_id}/ingest", {"files": foreign})).status == 404
    assert (await bob.get("/api/jobs/")).body == []
    assert await entries(bob, knowledge_id) == {}


async def test_a_file_whose_reading_somebody_else_has_stopped_is_read(bob: Client, services: Services, worker: WorkerParts) -> None:
    knowledge_id = await base_of(bob)
    file_id = (await sent(bob, "mill.md", MILL))["file_id"]
    file = await services.files.find(file_id)
    assert file
    assert worker
    spec = JobSpec(id=job_id_of(file), kind=PARSE, queue="cpu.parse.nobody", owner=bob.user["id"], created_at=1)
    await services.queue.submit(spec, file_id.encode())
    await services.claims.cancel(spec.id)
    assert await services.claims.state(spec.id) == "cancelled"
    done = await bob.post("/api/retrieval/process?wait=true", {"file_id": file_id, "knowledge_id": knowledge_id})
    assert (done.body["state"], done.body["error"], done.body["chunks"]) == ("ready", None, 2)
