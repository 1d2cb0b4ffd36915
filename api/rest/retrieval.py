"""What can be found: in knowledge bases, and on the web; and files that are to be found."""

from typing import Any

import msgspec
from aiohttp import web

from api.http.json import json_response, read, read_query
from api.http.keys import CONNECTIONS, PRINCIPAL, SERVICES
from core.models.files import FileStatus
from core.models.knowledge import FileState
from core.models.web_search import SearchWeb, WebPage
from core.services.files.processing import job_id_of
from core.services.retrieval import Retrieve
from core.storage.vectors.port import Hit

_STATES = {FileStatus.PENDING: FileState.PARSING, FileStatus.COMPLETED: FileState.READY, FileStatus.FAILED: FileState.FAILED}


class WebResults(msgspec.Struct, frozen=True, kw_only=True):
    """``items`` is ``results`` again, under the name and with the fields that Open WebUI gives them: without the pages' text."""

    query: str
    results: list[WebPage]
    items: list[WebPage]
    status: bool = True


class RetrievedPassage(msgspec.Struct, frozen=True, kw_only=True):
    """``score``: 0 to 1, higher is better. ``metadata``: the file and base, ``pages`` and ``headings``, and what the file's sender said."""

    content: str
    score: float
    metadata: dict[str, Any]

    @classmethod
    def of(cls, hit: Hit) -> "RetrievedPassage":
        """From what the vector store has found."""
        passage = hit.passage
        about: dict[str, Any] = {"chunk_id": passage.id, "position": passage.position, "headings": passage.headings, "pages": passage.pages}
        return cls(content=passage.text, score=hit.score, metadata={**msgspec.json.decode(passage.metadata), **about})


class RetrievalResults(msgspec.Struct, frozen=True, kw_only=True):
    """The best first. ``reranked``: whether order and scores are those of a cross-encoder, which has read each with the question."""

    results: list[RetrievedPassage]
    reranked: bool


class ProcessFile(msgspec.Struct, frozen=True, kw_only=True):
    """``knowledge_id``: where the file is to be found; without it the file is only read, again where that had failed."""

    file_id: str
    knowledge_id: str | None = None


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """``wait``: answer only when it is done, or has failed."""

    wait: bool = False


class ProcessResponse(msgspec.Struct, frozen=True, kw_only=True):
    """``job_id``: what is being done; ``state``: how far it is; ``error``: why it failed. ``collection_name`` is ``knowledge_id`` again."""

    status: bool
    job_id: str
    file_id: str
    knowledge_id: str | None
    collection_name: str | None
    filename: str
    state: FileState
    error: str | None
    chunks: int


async def query(request: web.Request) -> web.Response:
    """``POST /api/retrieval/query``: the passages of knowledge bases that have most to do with a question, the best first.

    403 for a base that one may not read, and for one that does not exist: the two are told alike. 503 where ``rerank`` is asked for and
    nobody has set up a cross-encoder; where that is only away, the answer comes without it, and says so.
    """
    command = await read(request, Retrieve)
    async with request.app[CONNECTIONS].hold(request):
        found = await request.app[SERVICES].retrieval.query(request[PRINCIPAL], command)
    return json_response(RetrievalResults(results=[RetrievedPassage.of(hit) for hit in found.hits], reranked=found.reranked))


async def process(request: web.Request) -> web.Response:
    """``POST /api/retrieval/process``: have a file indexed in a knowledge base, or only read. It answers at once, or waits."""
    command, services = await read(request, ProcessFile), request.app[SERVICES]
    if command.knowledge_id is None:
        return await _read(request, command)
    (entry,) = await services.knowledge_files.add(request[PRINCIPAL], command.knowledge_id, [command.file_id])
    if read_query(request, Waiting).wait and entry.state not in {FileState.READY, FileState.FAILED}:
        async with request.app[CONNECTIONS].hold(request):
            entry = await services.knowledge_files.wait(entry)
    answer = ProcessResponse(
        status=entry.state is not FileState.FAILED,
        job_id=services.knowledge_files.job_id_of(entry),
        file_id=entry.file_id,
        knowledge_id=entry.knowledge_id,
        collection_name=entry.knowledge_id,
        filename=entry.filename,
        state=entry.state,
        error=entry.error,
        chunks=entry.chunks,
    )
    return json_response(answer)


async def _read(request: web.Request, command: ProcessFile) -> web.Response:
    service = request.app[SERVICES].files
    file = await service.read_again(request[PRINCIPAL], command.file_id)
    if read_query(request, Waiting).wait:
        async with request.app[CONNECTIONS].hold(request):
            file = await service.wait(file)
    answer = ProcessResponse(
        status=file.status is not FileStatus.FAILED,
        job_id=job_id_of(file),
        file_id=file.id,
        knowledge_id=None,
        collection_name=None,
        filename=file.filename,
        state=_STATES[file.status],
        error=file.error,
        chunks=0,
    )
    return json_response(answer)


async def search_web(request: web.Request) -> web.Response:
    """``POST /api/retrieval/web``: search the web. Pages, the best first; an empty list where nothing was found.

    With ``content`` each page comes with its text, or with the reason why there is none.

    503 where no search engine is set, with what to set. What the engine itself refuses is told as 429, 502 or 504.
    """
    command = await read(request, SearchWeb)
    async with request.app[CONNECTIONS].hold(request):
        pages = await request.app[SERVICES].web_search.search(request[PRINCIPAL], command)
    items = [WebPage(title=page.title, link=page.link, snippet=page.snippet) for page in pages]
    return json_response(WebResults(query=command.query, results=pages, items=items))
