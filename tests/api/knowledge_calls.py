"""How the routes of knowledge bases and of retrieval are called."""

from collections.abc import Awaitable, Callable
from typing import Any

from core.models.documents import Chunk
from core.services.knowledge.embedded import EmbeddedDocument
from core.storage.vectors.port import VectorSpace, pack
from pipelines import ingestion
from tests.api.call import Call, Prepare, simply
from tests.api.conftest import Client
from tests.api.forms import uploaded
from tests.api.server_fixture import EMBED, ServerFixture

NEW = {"name": "My Knowledge Base", "description": "Collection of important documents"}
TEXT = "The project is structured as follows: one folder a package, and its tests beside it."
DIMENSIONS = 3


async def new_base(owner: Client) -> str:
    """An empty base's id."""
    reply = await owner.post("/api/knowledge/create", NEW)
    assert reply.status == 201, reply
    knowledge_id: str = reply.body["id"]
    return knowledge_id


async def filled_base(server: ServerFixture, owner: Client) -> tuple[str, str]:
    """A base with a file that can be found: the ids of both. What a worker does is done here by hand."""
    services, knowledge_id = server.services, await new_base(owner)
    file = await uploaded(owner, TEXT.encode(), "README.md")
    await owner.post(f"/api/knowledge/{knowledge_id}/file/add", {"file_id": file["id"]})
    base = await services.knowledge.find(knowledge_id)
    assert base
    (entry,) = await services.knowledge_files.list(base)
    space = VectorSpace(model=EMBED.id, dimensions=DIMENSIONS)
    chunks = (Chunk(text=TEXT, headings=("Structure",), position=0),)
    document = EmbeddedDocument(ids=ingestion.identify(chunks, EMBED.id), chunks=chunks, vectors=pack([0.25, -0.5, 0.125]))
    await services.knowledge_files.choose_model(base, EMBED.id)
    await services.knowledge_files.set_dimensions(base.id, DIMENSIONS)
    await services.knowledge_files.note_space(entry, EMBED.id, DIMENSIONS)
    store = await services.vectors.open()
    await store.setup(space)
    for points in ingestion.points(entry, document, 1):
        await store.upsert(space, points)
    await services.knowledge_files.publish(entry, EMBED.id, chunks=1, pages=None)
    return knowledge_id, file["id"]


def base(body: Any = None) -> Prepare:
    """A call for a base of the owner's with a file in it."""

    async def prepare(server: ServerFixture, owner: Client, _asker: Client) -> Call:
        knowledge_id, _ = await filled_base(server, owner)
        return Call({"knowledge_id": knowledge_id}, body)

    return prepare


def base_and_file(make: Callable[[str], Any], *, inside: bool) -> Prepare:
    """The same with a file that is to be put there, or is there."""

    async def prepare(server: ServerFixture, owner: Client, _asker: Client) -> Call:
        knowledge_id, file_id = await filled_base(server, owner)
        if not inside:
            file_id = (await uploaded(owner))["id"]
        return Call({"knowledge_id": knowledge_id}, make(file_id))

    return prepare


async def ingesting(server: ServerFixture, owner: Client, _asker: Client) -> Call:
    knowledge_id, file = await new_base(owner), await uploaded(owner, TEXT.encode(), "README.md")
    assert server
    return Call({"knowledge_id": knowledge_id}, {"files": [{"path": "docs/README.md", "file_id": file["id"]}]})


def job(*, stopped: bool = False) -> Prepare:
    """A call for a job of the owner's; ``stopped``: so that its one file has failed."""

    async def prepare(server: ServerFixture, owner: Client, asker: Client) -> Call:
        call = await ingesting(server, owner, asker)
        begun = await owner.post(f"/api/knowledge/{call.variables['knowledge_id']}/ingest", call.body)
        assert begun.status == 201, begun
        if stopped:
            assert (await owner.post(f"/api/jobs/{begun.body['id']}/cancel", {})).status == 200
        return Call({"job_id": begun.body["id"]})

    return prepare


async def having_a_job(server: ServerFixture, owner: Client, asker: Client) -> Call:
    await job()(server, owner, asker)
    return Call()


async def having_a_base(server: ServerFixture, owner: Client, _asker: Client) -> Call:
    await filled_base(server, owner)
    return Call()


async def asking(server: ServerFixture, owner: Client, _asker: Client) -> Call:
    knowledge_id, _ = await filled_base(server, owner)
    return Call(body={"query": "What is the project structure?", "knowledge_ids": [knowledge_id], "top_k": 5})


async def processing(_server: ServerFixture, owner: Client, _asker: Client) -> Call:
    return Call(body={"file_id": (await uploaded(owner))["id"], "knowledge_id": await new_base(owner)})


KNOWLEDGE_CALLS: dict[str, Callable[[ServerFixture, Client, Client], Awaitable[Call]]] = {
    "GET /api/knowledge/": having_a_base,
    "GET /api/knowledge/list": having_a_base,
    "POST /api/knowledge/create": simply(NEW),
    "GET /api/knowledge/{knowledge_id}": base(),
    "DELETE /api/knowledge/{knowledge_id}": base(),
    "POST /api/knowledge/{knowledge_id}/update": base({"description": "What everybody should read"}),
    "POST /api/knowledge/{knowledge_id}/file/add": base_and_file(lambda file_id: {"file_id": file_id}, inside=False),
    "POST /api/knowledge/{knowledge_id}/files/batch/add": base_and_file(lambda file_id: [{"file_id": file_id}], inside=False),
    "POST /api/knowledge/{knowledge_id}/file/remove": base_and_file(lambda file_id: {"file_id": file_id}, inside=True),
    "GET /api/knowledge/{knowledge_id}/files": base(),
    "POST /api/knowledge/{knowledge_id}/ingest": ingesting,
    "GET /api/jobs/": having_a_job,
    "GET /api/jobs/{job_id}": job(),
    "GET /api/jobs/{job_id}/events": job(stopped=True),
    "POST /api/jobs/{job_id}/cancel": job(),
    "POST /api/jobs/{job_id}/retry": job(stopped=True),
    "POST /api/knowledge/{knowledge_id}/reset": base(),
    "POST /api/knowledge/{knowledge_id}/retry": base(),
    "POST /api/knowledge/{knowledge_id}/reindex": base(),
    "POST /api/retrieval/query": asking,
    "POST /api/retrieval/process": processing,
    "POST /api/retrieval/web": simply({"query": "Latest AI news", "count": 5}),
}
