"""Files go into knowledge bases: from the upload to the passage that is found, with a real parser, embedder protocol and vector store."""

import threading
from typing import Any

import msgspec
import pytest

from core.errors import ContextTooLong
from core.models.files import FileStatus
from core.services import Services
from core.services.knowledge import upkeep as upkeep_module
from core.settings import Settings
from core.storage import knowledge_files
from core.storage.vectors.port import Point, Selection, VectorSpace
from pipelines import ingestion
from tests.api.conftest import Client, ada, bob, eve, visitor
from tests.api.forms import uploaded
from tests.knowledge_work import MILL, MODEL, OTHER, WORDS, CountingWords, base_of, embedder, put, worker
from tests.polling import until
from tests.servers import weaviate_grpc_url
from tests.serving import app, quick_passwords, services, url
from tests.serving_models import serve_models
from workers.actors import indexing

__all__ = ["ada", "app", "bob", "embedder", "eve", "quick_passwords", "services", "url", "visitor", "worker"]


@pytest.fixture(params=["embedded", "servers"])
def settings(request: pytest.FixtureRequest, settings: Settings) -> Settings:
    """Everything in the data folder; or documents and bytes in MongoDB, and vectors in Weaviate."""
    limitless = msgspec.structs.replace(settings, rate_limit_per_minute=0)
    if request.param == "embedded":
        return limitless
    mongo_url, weaviate_url = (request.getfixturevalue(name) for name in ("mongo_url", "weaviate_url"))
    return msgspec.structs.replace(
        limitless, mongo_url=mongo_url, weaviate_url=weaviate_url, weaviate_grpc_url=weaviate_grpc_url(weaviate_url)
    )


async def ask(client: Client, knowledge_id: str, query: str, **more: Any) -> list[dict[str, Any]]:
    reply = await client.post("/api/retrieval/query", {"query": query, "knowledge_ids": [knowledge_id], **more})
    assert reply.status == 200, reply
    results: list[dict[str, Any]] = reply.body["results"]
    return results


@pytest.mark.usefixtures("worker")
async def test_an_uploaded_file_is_found_with_its_place(bob: Client) -> None:
    knowledge_id = await base_of(bob)
    done = await put(bob, knowledge_id)
    assert (done["state"], done["status"], done["error"], done["chunks"]) == ("ready", True, None, 2)
    first, second = await ask(bob, knowledge_id, "Who plays the violin?")
    assert "makes music" in first["content"]
    assert 0 <= second["score"] < first["score"] <= 1
    about = first["metadata"]
    assert (about["file_id"], about["filename"], about["knowledge_id"]) == (done["file_id"], "mill.md", knowledge_id)
    assert about["headings"] == ["The concert"]
    (only,) = await ask(bob, knowledge_id, "water for the mill", top_k=1, mode="vector")
    assert "grinds corn" in only["content"]
    (words,) = await ask(bob, knowledge_id, "grinds", mode="keyword")
    assert "grinds corn" in words["content"]
    whole = (await bob.get(f"/api/knowledge/{knowledge_id}")).body
    assert (whole["embedding_model"], whole["data"]) == ("words", {"file_ids": [done["file_id"]]})
    assert [(file["status"], file["chunks"]) for file in whole["files"]] == [("ready", 2)]


@pytest.mark.usefixtures("worker")
async def test_points_are_made_beside_the_event_loop_and_all_are_written(bob: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    makers = list[threading.Thread]()

    def point(**fields: Any) -> Point:
        makers.append(threading.current_thread())
        return Point(**fields)

    monkeypatch.setattr(ingestion, "Point", point)
    monkeypatch.setattr(indexing, "WRITTEN_AT_ONCE", 1)
    knowledge_id = await base_of(bob)
    await put(bob, knowledge_id)
    assert (len(makers), threading.current_thread() in makers) == (2, False)
    assert len(await ask(bob, knowledge_id, "music and corn")) == 2


@pytest.mark.usefixtures("worker")
async def test_what_is_embedded_once_is_not_embedded_again(bob: Client, embedder: CountingWords) -> None:
    await put(bob, await base_of(bob))
    count = len(embedder.texts)
    again = await base_of(bob)
    done = await put(bob, again, name="same.md")
    assert (done["state"], len(embedder.texts)) == ("ready", count)
    assert "music" in (await ask(bob, again, "violin"))[0]["content"]


@pytest.mark.usefixtures("worker")
async def test_a_file_that_takes_anothers_place_embeds_only_what_has_changed(
    bob: Client, services: Services, embedder: CountingWords
) -> None:
    knowledge_id = await base_of(bob)
    principal = await services.users.authenticate(bob.token)
    first = await uploaded(bob, MILL, "mill.md")
    entry = await services.knowledge_files.put(principal, knowledge_id, "docs/mill.md", first["id"])
    await services.knowledge_files.wait(entry)
    embedder.texts.clear()
    second = await uploaded(bob, MILL.replace(b"music", b"noise"), "mill.md")
    entry = await services.knowledge_files.put(principal, knowledge_id, "docs/mill.md", second["id"])
    assert (await services.knowledge_files.wait(entry)).chunks == 2
    assert [text.count("noise") for text in embedder.texts] == [1]
    found = await ask(bob, knowledge_id, "the violin and the mill", top_k=10)
    assert {hit["metadata"]["file_id"] for hit in found} == {second["id"]}
    assert len(found) == 2
    assert (await services.knowledge_files.put(principal, knowledge_id, "docs/mill.md", second["id"])).revision == entry.revision


@pytest.mark.usefixtures("worker")
async def test_a_file_that_is_removed_or_deleted_is_found_no_more_and_leaves_nothing(
    bob: Client, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    knowledge_id = await base_of(bob)
    removed, deleted = await put(bob, knowledge_id), await put(bob, knowledge_id, MILL.replace(b"moon", b"sun"), "sun.md")
    assert len(await ask(bob, knowledge_id, "violin", top_k=10)) == 4
    await bob.post(f"/api/knowledge/{knowledge_id}/file/remove", {"file_id": removed["file_id"]})
    assert {hit["metadata"]["file_id"] for hit in await ask(bob, knowledge_id, "violin", top_k=10)} == {deleted["file_id"]}
    assert (await bob.get(f"/api/files/{removed['file_id']}")).status == 200
    await bob.delete(f"/api/files/{deleted['file_id']}")
    assert await ask(bob, knowledge_id, "violin", top_k=10) == []
    store, space = await services.vectors.open(), VectorSpace(model="words", dimensions=len(WORDS) + 1)
    assert await store.count(space, Selection(collection=knowledge_id)) == 4
    monkeypatch.setattr(upkeep_module, "SEARCH_S", -2)
    monkeypatch.setattr(upkeep_module, "REMOVED_S", 0)
    await services.upkeep._knowledge_upkeep.clean()
    assert await store.count(space, Selection(collection=knowledge_id)) == 0
    assert await services.records.count(knowledge_files.COLLECTION, {"knowledge_id": knowledge_id}) == 0


@pytest.mark.usefixtures("worker")
async def test_a_file_that_cannot_be_read_says_why_and_can_be_tried_again(bob: Client) -> None:
    knowledge_id = await base_of(bob)
    done = await put(bob, knowledge_id, b"%PDF-1.7\n1 0 obj\n<<", "broken.pdf")
    assert (done["state"], done["status"], len(done["error"]) > 10) == ("failed", False, True)
    retried = await bob.post(f"/api/knowledge/{knowledge_id}/retry", {})
    (job,) = (await bob.get("/api/jobs/")).body
    assert (job["knowledge_id"], job["total"]) == (knowledge_id, 1)
    assert retried.body["files"][0]["status"] in {"queued", "parsing", "failed"}

    async def failed() -> bool:
        (file,) = (await bob.get(f"/api/knowledge/{knowledge_id}")).body["files"]
        return bool(file["status"] == "failed" and file["error"] == done["error"])

    await until(failed, "it has failed again", timeout_s=60)


@pytest.mark.usefixtures("worker")
async def test_a_file_alone_is_read_and_read_again(bob: Client, eve: Client, services: Services) -> None:
    file = await uploaded(bob, MILL, "mill.md")
    read = await bob.post("/api/retrieval/process?wait=true", {"file_id": file["id"]})
    assert (read.body["state"], read.body["knowledge_id"], read.body["job_id"]) == ("ready", None, f"parse-{file['id']}")
    await services.files.set_status(file["id"], FileStatus.FAILED, error="no worker lived")
    assert (await eve.post("/api/retrieval/process", {"file_id": file["id"]})).status == 404
    again = await bob.post("/api/retrieval/process?wait=true", {"file_id": file["id"]})
    assert (again.body["state"], again.body["status"], again.body["error"]) == ("ready", True, None)


@pytest.mark.usefixtures("worker")
async def test_a_document_that_went_with_another_file_is_read_again(bob: Client, services: Services) -> None:
    file = await uploaded(bob, MILL, "mill.md")
    await bob.post("/api/retrieval/process?wait=true", {"file_id": file["id"]})
    found = await services.files.find(file["id"])
    assert found
    record = await services.documents.find(found)
    assert record
    await services.documents._rows.remove(record.id)
    knowledge_id = await base_of(bob)
    done = await bob.post("/api/retrieval/process?wait=true", {"file_id": file["id"], "knowledge_id": knowledge_id})
    assert (done.body["state"], done.body["chunks"]) == ("ready", 2)


@pytest.mark.usefixtures("worker")
async def test_an_embedder_that_is_away_for_a_while_fails_nothing(bob: Client, embedder: CountingWords) -> None:
    embedder.fails = 2
    assert (await put(bob, await base_of(bob)))["state"] == "ready"
    assert embedder.fails == 0


@pytest.mark.usefixtures("worker")
async def test_another_model_takes_over_when_all_is_indexed_with_it(bob: Client, services: Services) -> None:
    knowledge_id, emptied = await base_of(bob), await base_of(bob)
    await put(bob, knowledge_id)
    await put(bob, emptied)
    await bob.post(f"/api/knowledge/{emptied}/reset", {})
    await serve_models(services, OTHER, worker_id="gpu")
    services.models._embedding_model = OTHER.id
    moved = (await bob.post(f"/api/knowledge/{emptied}/reindex", {})).body
    assert (moved["embedding_model"], moved["reindexing_with"]) == (OTHER.id, "")
    assert (await bob.post(f"/api/knowledge/{knowledge_id}/reindex", {})).status == 200
    (job,) = (await bob.get("/api/jobs/")).body
    assert (job["knowledge_id"], job["total"]) == (knowledge_id, 1)

    async def other() -> bool:
        whole = (await bob.get(f"/api/knowledge/{knowledge_id}")).body
        return (whole["embedding_model"], whole["reindexing_with"]) == (OTHER.id, "")

    await until(other, "the base has the other model", timeout_s=60)
    assert (await bob.get(f"/api/jobs/{job['id']}")).body["completed"] == 1
    assert "music" in (await ask(bob, knowledge_id, "violin"))[0]["content"]


@pytest.mark.usefixtures("worker")
async def test_a_question_that_is_too_long_for_the_embedder_is_named_as_what_it_is(
    bob: Client, embedder: CountingWords, monkeypatch: pytest.MonkeyPatch
) -> None:
    knowledge_id = await base_of(bob)
    await put(bob, knowledge_id)

    async def refuse(_: object) -> None:
        message = "input[0] is too long."
        raise ContextTooLong(message, param="input")

    monkeypatch.setattr(embedder, "embed", refuse)
    asked = {"query": "violin", "knowledge_ids": [knowledge_id]}
    refused = await bob.post("/api/retrieval/query", asked)
    assert (refused.status, refused.body["detail"]) == (
        400,
        "query: is longer than the 64 tokens that words takes. Ask in fewer words, or by keyword mode.",
    )
    assert (await bob.post("/api/retrieval/query", asked | {"mode": "keyword"})).status == 200


@pytest.mark.usefixtures("worker")
async def test_what_another_model_takes_over_from_stays_for_queries_that_have_begun(bob: Client, services: Services) -> None:
    knowledge_id = await base_of(bob)
    await put(bob, knowledge_id)
    base, entries = await services.knowledge.find(knowledge_id), services.knowledge_files
    assert base
    (entry,) = await entries.list(base)
    await entries._base_rows.set_models(base, next_model=OTHER.id)
    await entries._rows.update(entry, generations=entry.generations | {OTHER.id: entry.revision}, updated_at=1)
    await entries.settle(knowledge_id)
    await services.upkeep._knowledge_upkeep.clean()
    store, space = await services.vectors.open(), VectorSpace(model=MODEL.id, dimensions=len(WORDS) + 1)
    assert await store.count(space, Selection(collection=knowledge_id)) == 2


@pytest.mark.usefixtures("worker")
async def test_rights(bob: Client, eve: Client, ada: Client, visitor: Client) -> None:
    private = await base_of(bob)
    shared = await base_of(bob, access_control={"read": {"user_ids": [eve.user["id"]]}})
    writable = await base_of(bob, access_control={"write": {"user_ids": [eve.user["id"]]}})
    public = await base_of(bob, access_control=None)
    await put(bob, shared)
    for knowledge_id, status in ((private, 403), (shared, 200), (writable, 200), (public, 200), ("unknown", 403)):
        asked = {"query": "violin", "knowledge_ids": [shared, knowledge_id]}
        assert (await eve.post("/api/retrieval/query", asked)).status == status
        assert (await eve.get(f"/api/knowledge/{knowledge_id}")).status == (200 if status == 200 else 404)
    assert {row["id"] for row in (await eve.get("/api/knowledge/")).body} == {shared, writable, public}
    assert {row["id"] for row in (await eve.get("/api/knowledge/list")).body} == {writable}
    assert {row["id"] for row in (await ada.get("/api/knowledge/")).body} == {private, shared, writable, public}
    hers = await uploaded(eve, b"The moon is full of corn.", "moon.txt")
    assert (await eve.post(f"/api/knowledge/{public}/file/add", {"file_id": hers["id"]})).status == 403
    assert (await eve.post(f"/api/knowledge/{writable}/file/add", {"file_id": hers["id"]})).status == 200
    his = await uploaded(bob, b"Music of the mill.", "his.txt")
    assert (await eve.post(f"/api/knowledge/{writable}/file/add", {"file_id": his["id"]})).status == 404
    assert (await eve.post(f"/api/knowledge/{writable}/update", {"access_control": None})).status == 403
    assert (await eve.delete(f"/api/knowledge/{writable}")).status == 403
    assert (await visitor.post("/api/retrieval/query", {"query": "x", "knowledge_ids": [public]})).status == 401
    assert (await bob.delete(f"/api/knowledge/{shared}")).body is True
    assert (await eve.post("/api/retrieval/query", {"query": "violin", "knowledge_ids": [shared]})).status == 403
