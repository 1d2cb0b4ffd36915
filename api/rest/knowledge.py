"""Knowledge bases, and the files in them: one's own, and those that others share."""

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from aiohttp import web

from api.http.json import json_response, read, read_query
from api.http.keys import PRINCIPAL, SERVICES
from core.json.offload import map_in_turns
from core.models.knowledge import (
    AccessControl,
    Chunking,
    CreateKnowledge,
    FileState,
    KnowledgeBase,
    KnowledgeFile,
    UpdateKnowledge,
)

MAX_FILES = 10_000
MAX_ENTRIES = 5_000


class KnowledgeData(msgspec.Struct, frozen=True, kw_only=True):
    """``file_ids``: of the files in it, as they were added."""

    file_ids: list[str]


class KnowledgeFileMeta(msgspec.Struct, frozen=True, kw_only=True):
    """``content_type``: what the bytes are; ``size``: in bytes; ``data``: what its sender said of it."""

    name: str
    content_type: str
    size: int
    data: dict[str, Any]


class KnowledgeFileResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A file in a base. Times are Unix seconds.

    ``status``: how far it is; it is found from ``ready`` on, and what was found before is found until then. ``error``: why it failed.
    ``chunks``: how many passages of it are found.
    """

    id: str
    filename: str
    hash: str
    meta: KnowledgeFileMeta
    status: FileState
    error: str | None
    chunks: int
    created_at: int
    updated_at: int

    @classmethod
    def of(cls, entry: KnowledgeFile) -> "KnowledgeFileResponse":
        """From the model."""
        return cls(
            id=entry.file_id,
            filename=entry.filename,
            hash=entry.hash,
            meta=KnowledgeFileMeta(name=entry.filename, content_type=entry.content_type, size=entry.size, data=entry.metadata),
            status=entry.state,
            error=entry.error,
            chunks=entry.chunks,
            created_at=entry.created_at,
            updated_at=entry.updated_at,
        )


class ListEntries(msgspec.Struct, frozen=True, kw_only=True):
    """``limit`` many, after the one whose ``id`` is ``after``."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=MAX_ENTRIES)] = 1_000
    after: str | None = None


class KnowledgeEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A file's place in a base, in few words. Times are Unix seconds.

    ``id``: the place's own; ``path``: where the file was put, null where it was only added; ``hash``: the SHA-256 of its bytes, in
    hexadecimal. ``job_id``: the job that has put it here with others. ``waiting``: what is wanting for it to go on now, such as a worker.
    """

    id: str
    path: str | None
    file_id: str
    filename: str
    hash: str
    size: int
    status: FileState
    waiting: str | None
    error: str | None
    chunks: int
    pages: int | None
    job_id: str | None
    updated_at: int

    @classmethod
    def of(cls, entry: KnowledgeFile) -> "KnowledgeEntry":
        """From the model."""
        names = (name for name in cls.__struct_fields__ if name != "status")
        return cls(status=entry.state, **{name: getattr(entry, name) for name in names})


class KnowledgeSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A base. Times are Unix seconds. ``access_control``: null where everybody may read it, empty where nobody else may.

    ``embedding_model``: whose vectors are searched; empty until the first file is in it. ``reindexing_with``: whose vectors are being made.
    """

    id: str
    user_id: str
    name: str
    description: str
    data: KnowledgeData
    meta: dict[str, Any]
    access_control: AccessControl | None
    chunking: Chunking
    embedding_model: str
    reindexing_with: str
    created_at: int
    updated_at: int


class KnowledgeResponse(KnowledgeSummary, frozen=True, kw_only=True):
    """A base with its files."""

    files: list[KnowledgeFileResponse]


class AddFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file of one's own."""

    file_id: str


AddFiles = Annotated[list[AddFile], msgspec.Meta(min_length=1, max_length=MAX_FILES)]


class RemoveFile(msgspec.Struct, frozen=True, kw_only=True):
    """``delete_file``: the file itself, too, with all that was made of it."""

    delete_file: bool = False


async def list_(request: web.Request) -> web.Response:
    """``GET /api/knowledge/``: the bases that one may read, the last changed first."""
    return await _listed(request, writable=False)


async def list_writable(request: web.Request) -> web.Response:
    """``GET /api/knowledge/list``: the bases whose files one may change, the last changed first."""
    return await _listed(request, writable=True)


async def create(request: web.Request) -> web.Response:
    """``POST /api/knowledge/create``: make a base. It is private unless ``access_control`` says otherwise."""
    base = await request.app[SERVICES].knowledge.create(request[PRINCIPAL], await read(request, CreateKnowledge))
    return json_response(_whole(base, []), status=201)


async def get(request: web.Request) -> web.Response:
    """``GET /api/knowledge/{knowledge_id}``: a base and its files, each with how far it is."""
    base = await request.app[SERVICES].knowledge.get(request[PRINCIPAL], request.match_info["knowledge_id"])
    return await _answer(request, base)


async def update(request: web.Request) -> web.Response:
    """``POST /api/knowledge/{knowledge_id}/update``: change a base's name, description, rights or way of cutting."""
    changes = await read(request, UpdateKnowledge)
    base = await request.app[SERVICES].knowledge.update(request[PRINCIPAL], request.match_info["knowledge_id"], changes)
    return await _answer(request, base)


async def delete(request: web.Request) -> web.Response:
    """``DELETE /api/knowledge/{knowledge_id}``: delete a base. The files that were in it stay."""
    await request.app[SERVICES].knowledge.delete(request[PRINCIPAL], request.match_info["knowledge_id"])
    return json_response(True)  # noqa: FBT003 - the whole answer


async def add_file(request: web.Request) -> web.Response:
    """``POST /api/knowledge/{knowledge_id}/file/add``: have a file indexed; it may still be on its way through the parser.

    It answers at once: ``files`` says how far each file is.
    """
    command = await read(request, AddFile)
    return await _add(request, [command.file_id])


async def add_files(request: web.Request) -> web.Response:
    """``POST /api/knowledge/{knowledge_id}/files/batch/add``: have several files indexed. None is added where one is not there."""
    commands = await read(request, AddFiles)
    return await _add(request, [command.file_id for command in commands])


async def remove_file(request: web.Request) -> web.Response:
    """``POST /api/knowledge/{knowledge_id}/file/remove``: take a file out of a base. At once it is found no more."""
    command, services = await read(request, AddFile), request.app[SERVICES]
    base = await services.knowledge_files.remove(request[PRINCIPAL], request.match_info["knowledge_id"], command.file_id)
    if read_query(request, RemoveFile).delete_file:
        await services.files.delete(request[PRINCIPAL], command.file_id)
    return await _answer(request, base)


async def list_files(request: web.Request) -> web.Response:
    """``GET /api/knowledge/{knowledge_id}/files``: the files in a base, a page of them, as they were added."""
    wanted, services = read_query(request, ListEntries), request.app[SERVICES]
    base = await services.knowledge.get(request[PRINCIPAL], request.match_info["knowledge_id"])
    return json_response(await map_in_turns(KnowledgeEntry.of, await services.knowledge_files.page(base, wanted.after, wanted.limit)))


async def reset(request: web.Request) -> web.Response:
    """``POST /api/knowledge/{knowledge_id}/reset``: take all files out of a base."""
    services = request.app[SERVICES]
    base = await services.knowledge.get_writable(request[PRINCIPAL], request.match_info["knowledge_id"])
    await services.knowledge_files.remove_all(base)
    return await _answer(request, base)


async def retry(request: web.Request) -> web.Response:
    """``POST /api/knowledge/{knowledge_id}/retry``: begin all files again that failed, by one job (``GET /api/jobs/``)."""
    services = request.app[SERVICES]
    knowledge_id = request.match_info["knowledge_id"]
    await services.ingestion.retry_all(request[PRINCIPAL], knowledge_id)
    return await _answer(request, await services.knowledge.get(request[PRINCIPAL], knowledge_id))


async def reindex(request: web.Request) -> web.Response:
    """``POST /api/knowledge/{knowledge_id}/reindex``: cut and embed all files anew, with the embedding model that new bases get.

    One job does it (``GET /api/jobs/``). Until all are ready, what was found before is found.
    """
    services, knowledge_id = request.app[SERVICES], request.match_info["knowledge_id"]
    base = await services.knowledge.get_writable(request[PRINCIPAL], knowledge_id)
    model = await services.models.for_embedding()
    await services.ingestion.reindex(request[PRINCIPAL], base.id, model.id)
    return await _answer(request, await services.knowledge.get(request[PRINCIPAL], base.id))


async def _listed(request: web.Request, *, writable: bool) -> web.Response:
    services = request.app[SERVICES]
    bases = await services.knowledge.list(request[PRINCIPAL], writable=writable)
    file_ids = await services.knowledge_files.file_ids(bases)
    return json_response([KnowledgeSummary(data=KnowledgeData(file_ids=file_ids[base.id]), **_shared(base)) for base in bases])


async def _add(request: web.Request, file_ids: Sequence[str]) -> web.Response:
    services, knowledge_id = request.app[SERVICES], request.match_info["knowledge_id"]
    await services.knowledge_files.add(request[PRINCIPAL], knowledge_id, file_ids)
    return await _answer(request, await services.knowledge.get(request[PRINCIPAL], knowledge_id))


async def _answer(request: web.Request, base: KnowledgeBase) -> web.Response:
    return json_response(_whole(base, await request.app[SERVICES].knowledge_files.list(base)))


def _whole(base: KnowledgeBase, entries: Sequence[KnowledgeFile]) -> KnowledgeResponse:
    files = [KnowledgeFileResponse.of(entry) for entry in entries]
    return KnowledgeResponse(data=KnowledgeData(file_ids=[file.id for file in files]), files=files, **_shared(base))


def _shared(base: KnowledgeBase) -> dict[str, Any]:
    return {
        "id": base.id,
        "user_id": base.user_id,
        "name": base.name,
        "description": base.description,
        "meta": base.meta,
        "access_control": base.access_control,
        "chunking": base.chunking,
        "embedding_model": base.embedding_model,
        "reindexing_with": base.next_model,
        "created_at": base.created_at,
        "updated_at": base.updated_at,
    }
