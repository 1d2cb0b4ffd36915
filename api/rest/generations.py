"""Answers being made: listened to from any point, and stopped."""

from typing import Annotated

import msgspec
from aiohttp import web

from api.http.event_stream import follow
from api.http.json import json_response, read_query
from api.http.keys import PRINCIPAL, SERVICES
from core.events import START

LAST_EVENT_ID = "Last-Event-ID"


class Resume(msgspec.Struct, frozen=True, kw_only=True):
    """``after``: the id of the last event seen; the header ``Last-Event-ID`` comes first."""

    after: Annotated[str, msgspec.Meta(extra_json_schema={"pattern": r"^([0-9]{1,15}(-[0-9]{1,15})?)?$"})] = START


class StopResponse(msgspec.Struct, frozen=True, kw_only=True):
    """The generation that was told to stop."""

    id: str
    stopped: bool = True


async def listen(request: web.Request) -> web.StreamResponse:
    """``GET /api/generations/{generation_id}/events``: an answer as it is made.

    Events after ``Last-Event-ID`` or ``?after=``, then what comes.
    Each event is one of the log: ``event:`` its type, ``id:`` what to resume with, ``data:`` itself. A stream that ends without
    ``finished``, ``failed`` or ``cancelled`` was broken off: resume it, unless ``error`` says that you
    may listen no longer. 204 where nothing will come any more.
    """
    resumed = request.headers.get(LAST_EVENT_ID)
    after, field = (resumed, LAST_EVENT_ID) if resumed else (read_query(request, Resume).after or START, "after")
    entries = request.app[SERVICES].generations.listen(request[PRINCIPAL], request.match_info["generation_id"], after, field=field)
    return await follow(request, entries)


async def stop(request: web.Request) -> web.Response:
    """``DELETE /api/generations/{generation_id}``: stop an answer.

    It ends between two tokens; what arrived stays. Again and again is as good as once.
    """
    generation_id = request.match_info["generation_id"]
    await request.app[SERVICES].generations.stop(request[PRINCIPAL], generation_id)
    return json_response(StopResponse(id=generation_id))
