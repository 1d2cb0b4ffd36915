"""Answers being made: listened to from any point, and stopped."""

from contextlib import aclosing
from typing import Annotated

import msgspec
from aiohttp import web

from api.bodies import answer, encode, query
from api.connections import GoingAway
from api.keys import PRINCIPAL, SERVICES
from api.sse import streaming
from core.errors import PenstockError
from core.events import START
from core.models.events import Delta, Event, Started

RETRY = b"retry: 500\n"
LAST_EVENT_ID = "Last-Event-ID"


class Resume(msgspec.Struct, frozen=True, kw_only=True):
    """``after``: the id of the last event seen; the header ``Last-Event-ID`` comes first."""

    after: Annotated[str, msgspec.Meta(extra_json_schema={"pattern": r"^[0-9]{1,15}(-[0-9]{1,15})?$"})] = START


class Stopped(msgspec.Struct, frozen=True, kw_only=True):
    """The generation that was told to stop."""

    id: str
    stopped: bool = True


async def listen(request: web.Request) -> web.StreamResponse:
    """``GET /api/generations/{generation_id}/events``: an answer as it is made.

    Events after ``Last-Event-ID`` or ``?after=``, then what comes.
    Each event is one of the log: ``event:`` its type, ``id:`` what to resume with, ``data:`` itself. A stream that ends without
    ``finished``, ``failed`` or ``cancelled`` was broken off: resume it. 204 where nothing will come any more.
    """
    resumed = request.headers.get(LAST_EVENT_ID)
    after, field = (resumed, LAST_EVENT_ID) if resumed else (query(request, Resume).after or START, "after")
    entries = request.app[SERVICES].generations.listen(request[PRINCIPAL], request.match_info["generation_id"], after, field=field)
    async with streaming(request, _told) as stream, aclosing(entries):
        async for entry_id, event in entries:
            await stream.write(_written(entry_id, event) if stream.opened else RETRY + _written(entry_id, event))
    return stream.response if stream.opened else web.Response(status=204)


async def stop(request: web.Request) -> web.Response:
    """``DELETE /api/generations/{generation_id}``: stop an answer.

    It ends between two tokens; what arrived stays. Again and again is as good as once.
    """
    generation_id = request.match_info["generation_id"]
    await request.app[SERVICES].generations.stop(request[PRINCIPAL], generation_id)
    return answer(Stopped(id=generation_id))


def _written(entry_id: str, event: Event) -> bytes:
    """Token ids and the worker's name are not the client's business."""
    if isinstance(event, Delta):
        event = msgspec.structs.replace(event, tokens=())
    elif isinstance(event, Started):
        event = msgspec.structs.replace(event, worker="")
    kind = event.__struct_config__.tag
    return f"event: {kind}\nid: {entry_id}\ndata: ".encode() + encode(event) + b"\n\n"


def _told(error: PenstockError) -> bytes:
    """A restart just ends the stream: browsers come back by themselves, with the last id."""
    if isinstance(error, GoingAway):
        return b""
    return b"event: error\ndata: " + encode({"detail": error.detail, "code": error.code}) + b"\n\n"
