"""A job's event log as server-sent events, which a client may resume after any break."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

import msgspec
from aiohttp import web

from api.http.disconnects import GoingAway
from api.http.json import encode
from api.http.sse import open_stream
from core.errors import PenstockError
from core.models.events import Delta, Event, Started

RETRY = b"retry: 500\n"


async def follow(request: web.Request, entries: AsyncGenerator[tuple[str, Event], None]) -> web.StreamResponse:
    """Send a log's entries as they come: ``event:`` the type, ``id:`` what to resume with, ``data:`` itself. 204 where there are none."""
    retry = RETRY
    async with open_stream(request, _told) as stream, aclosing(entries):
        async for entry_id, event in entries:
            await stream.write(retry + _written(entry_id, event))
            retry = b""
    return stream.response if stream.opened else web.Response(status=204)


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
