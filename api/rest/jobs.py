"""Jobs that put many files into knowledge bases: begun, listed, followed, stopped, and what failed tried again."""

from typing import Annotated, Literal

import msgspec
from aiohttp import web

from api.http.event_stream import follow
from api.http.json import json_response, read, read_query
from api.http.keys import PRINCIPAL, SERVICES
from api.rest.generations import LAST_EVENT_ID, Resume
from core.events import START
from core.models.ingestion import Ingest, IngestJob
from core.models.jobs import JobStatus
from core.models.knowledge import KnowledgeFile

SHOWN = 100
FAILURES = 1_000


class ListJobs(msgspec.Struct, frozen=True, kw_only=True):
    """``limit``: how many at most."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=SHOWN)] = SHOWN


class JobFailure(msgspec.Struct, frozen=True, kw_only=True):
    """A file that failed, and why. ``path``: where it is in the base, null where it has no such place."""

    path: str | None
    file_id: str
    filename: str
    error: str

    @classmethod
    def of(cls, entry: KnowledgeFile) -> "JobFailure":
        """From the model."""
        return cls(path=entry.path, file_id=entry.file_id, filename=entry.filename, error=entry.error or "")


class JobSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A job. Times are Unix seconds.

    Of ``total`` files so many are ``completed`` or have ``failed``; of those that are ready ``chunks`` passages can be found, of ``pages``.
    ``waiting``: what is wanting for some to go on now, such as a worker; it goes on by itself when that comes.
    """

    id: str
    kind: Literal["ingest_files"] = "ingest_files"
    user_id: str
    knowledge_id: str
    status: JobStatus
    total: int
    completed: int
    failed: int
    chunks: int
    pages: int
    waiting: str | None
    created_at: int
    updated_at: int
    ended_at: int | None

    @classmethod
    def of(cls, job: IngestJob) -> "JobSummary":
        """From the model."""
        return cls(**msgspec.structs.asdict(job))


class JobResponse(JobSummary, frozen=True, kw_only=True):
    """A job with what has failed in it and has not been tried again since: the first 1,000 of these."""

    failures: list[JobFailure]


async def ingest(request: web.Request) -> web.Response:
    """``POST /api/knowledge/{knowledge_id}/ingest``: put many files into a base, each under its path, by one job.

    A file takes the place of what was there under the same path, which is found until then. What is there already, or on its way, is left
    alone; what failed is tried again. The answer comes at once: ask for the job, or follow its events.
    """
    command = await read(request, Ingest)
    job = await request.app[SERVICES].ingestion.start(request[PRINCIPAL], request.match_info["knowledge_id"], command)
    return json_response(JobSummary.of(job), status=201)


async def list_(request: web.Request) -> web.Response:
    """``GET /api/jobs/``: one's own jobs, running and ended, the newest first; for administrators everybody's."""
    found = await request.app[SERVICES].ingest_jobs.list(request[PRINCIPAL], read_query(request, ListJobs).limit)
    return json_response([JobSummary.of(job) for job in found])


async def get(request: web.Request) -> web.Response:
    """``GET /api/jobs/{job_id}``: how far a job is, and what has failed."""
    return await _whole(request, await request.app[SERVICES].ingest_jobs.get(request[PRINCIPAL], request.match_info["job_id"]))


async def listen(request: web.Request) -> web.StreamResponse:
    """``GET /api/jobs/{job_id}/events``: a job as it goes on.

    Events after ``Last-Event-ID`` or ``?after=``, then what comes: ``progress`` with the files that are done, and at the end ``finished``
    or ``cancelled``. 204 where nothing will come any more.
    """
    after = request.headers.get(LAST_EVENT_ID) or read_query(request, Resume).after or START
    return await follow(request, request.app[SERVICES].ingest_jobs.listen(request[PRINCIPAL], request.match_info["job_id"], after))


async def cancel(request: web.Request) -> web.Response:
    """``POST /api/jobs/{job_id}/cancel``: stop a job. What is ready stays; the rest has failed, and can be tried again.

    One that has ended stays as it is.
    """
    return await _whole(request, await request.app[SERVICES].ingest_jobs.cancel(request[PRINCIPAL], request.match_info["job_id"]))


async def retry(request: web.Request) -> web.Response:
    """``POST /api/jobs/{job_id}/retry``: begin the files that failed in a job again, by another job: the answer. 409 while it runs."""
    job = await request.app[SERVICES].ingestion.retry(request[PRINCIPAL], request.match_info["job_id"])
    return json_response(JobSummary.of(job), status=201)


async def _whole(request: web.Request, job: IngestJob) -> web.Response:
    failures = await request.app[SERVICES].ingest_jobs.failures(job, FAILURES) if job.failed else ()
    summary = {name: getattr(job, name) for name in IngestJob.__struct_fields__}
    return json_response(JobResponse(failures=[JobFailure.of(entry) for entry in failures], **summary))
