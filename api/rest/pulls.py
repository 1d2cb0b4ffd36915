"""Bringing models here: asked for, followed, stopped. For administrators."""

from contextlib import aclosing
from typing import Literal

import msgspec
from aiohttp import web

from api.http.event_stream import follow
from api.http.json import encode, json_response, read, read_query
from api.http.keys import CONNECTIONS, PRINCIPAL, SERVICES
from api.http.sse import open_stream
from api.rest.generations import Resume, StopResponse
from core.errors import Conflict, PenstockError
from core.events import START
from core.models.events import Cancelled, Event, Failed, Finished, Progress
from core.models.jobs import JobStatus
from core.models.pulls import Origin, Pull, StartPull

NDJSON = "application/x-ndjson"
WAITING = "waiting for a worker"


class PullLine(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line of a pull, in Ollama's words. The first one has the job's ``id``, the last one's ``status`` is ``success``.

    ``completed`` of ``total`` bytes of the part that ``digest`` names. A pull that fails ends with ``error``.
    """

    status: str = ""
    id: str | None = None
    digest: str | None = None
    total: int | None = None
    completed: int | None = None
    error: str | None = None
    code: str | None = None


class PullSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A pull. Times are Unix seconds. ``step``: what is being done; ``completed`` of ``total`` bytes, as far as known."""

    id: str
    name: str
    user_id: str
    source: Origin | None
    status: JobStatus
    step: str
    total: int | None
    completed: int
    created_at: int
    updated_at: int
    ended_at: int | None
    error: str | None

    @classmethod
    def of(cls, pull: Pull) -> "PullSummary":
        """From the model."""
        return cls(**{name: getattr(pull, name) for name in cls.__struct_fields__})


class PullResponse(msgspec.Struct, frozen=True, kw_only=True):
    """The model is here."""

    status: Literal["success"]
    id: str


async def create(request: web.Request) -> web.StreamResponse:
    """``POST /api/models/pull``: pull a model into the data folder, or have an Ollama pull it.

    Lines of JSON as they come, or, with ``stream`` false, one answer at the end. ``X-Job-Id`` names the job, which goes on without its
    client. A model that is being pulled already is not pulled twice: both clients follow the same job.
    """
    command = await read(request, StartPull)
    pull = await request.app[SERVICES].pulls.start(request[PRINCIPAL], command)
    return await (_stream if command.stream else _whole)(request, pull.id)


async def list_(request: web.Request) -> web.Response:
    """``GET /api/models/pulls``: running and recent pulls, the newest first."""
    return json_response([PullSummary.of(pull) for pull in await request.app[SERVICES].pulls.list(request[PRINCIPAL])])


async def get(request: web.Request) -> web.Response:
    """``GET /api/models/pull/{pull_id}``: how far a pull is."""
    return json_response(PullSummary.of(await request.app[SERVICES].pulls.get(request[PRINCIPAL], request.match_info["pull_id"])))


async def listen(request: web.Request) -> web.StreamResponse:
    """``GET /api/models/pull/{pull_id}/events``: a pull as it goes on.

    Events after ``Last-Event-ID`` or ``?after=``, then what comes: ``progress``, and at the end ``finished``, ``failed`` or
    ``cancelled``. 204 where nothing will come any more.
    """
    after = request.headers.get("Last-Event-ID") or read_query(request, Resume).after or START
    return await follow(request, request.app[SERVICES].pulls.listen(request[PRINCIPAL], request.match_info["pull_id"], after))


async def stop(request: web.Request) -> web.Response:
    """``DELETE /api/models/pull/{pull_id}``: stop a pull. What arrived is kept for the next one."""
    pull_id = request.match_info["pull_id"]
    await request.app[SERVICES].pulls.stop(request[PRINCIPAL], pull_id)
    return json_response(StopResponse(id=pull_id))


async def _stream(request: web.Request, pull_id: str) -> web.StreamResponse:
    first = _line(PullLine(status=WAITING, id=pull_id))
    headers = {"Content-Type": NDJSON, "X-Job-Id": pull_id}
    entries = request.app[SERVICES].pulls.listen(request[PRINCIPAL], pull_id)
    async with open_stream(request, _told, headers, comment=first) as stream, aclosing(entries):
        async for _, event in entries:
            line = _of(_unless_ended_badly(event), pull_id)
            await stream.write(_line(line if stream.opened else msgspec.structs.replace(line, id=pull_id)))
    return stream.response if stream.opened else json_response(PullResponse(status="success", id=pull_id))


async def _whole(request: web.Request, pull_id: str) -> web.StreamResponse:
    entries = request.app[SERVICES].pulls.listen(request[PRINCIPAL], pull_id)
    async with request.app[CONNECTIONS].hold(request), aclosing(entries):
        async for _, event in entries:
            _unless_ended_badly(event)
    return json_response(PullResponse(status="success", id=pull_id), headers={"X-Job-Id": pull_id})


def _unless_ended_badly(event: Event) -> Event:
    if isinstance(event, Failed):
        raise event.error()
    if isinstance(event, Cancelled):
        message = "The pull was stopped. What arrived is kept: pull it again to go on."
        raise Conflict(message)
    return event


def _of(event: Event, pull_id: str) -> PullLine:
    if isinstance(event, Progress):
        return PullLine(status=event.status, digest=event.digest, total=event.total, completed=event.completed)
    return PullLine(status="success", id=pull_id) if isinstance(event, Finished) else PullLine(status=WAITING)


def _line(line: PullLine) -> bytes:
    return encode(line) + b"\n"


def _told(error: PenstockError) -> bytes:
    """As Ollama tells of what goes wrong in the middle."""
    return encode(PullLine(error=error.detail, code=error.code)) + b"\n"
