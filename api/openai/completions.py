"""OpenAI's chat completions: ``POST …/chat/completions``."""

from contextlib import aclosing

from aiohttp import web

from api.http.disconnects import ClientGone
from api.http.errors import openai_error
from api.http.json import json_response
from api.http.keys import CONNECTIONS, GENERATION_ID, ORPHANED_COMPLETIONS, PRINCIPAL, SERVICES
from api.http.sse import open_stream
from api.openai.completion import Completion
from api.openai.completion_chunks import CompletionChunks, error_event
from core.errors import Forbidden, PenstockError, Unauthenticated
from core.json.offload import offload
from core.models.completions import CompletionRequest
from core.models.events import Event, Failed
from core.models.generations import GenerationSpec
from core.services.questions import parse_request

LEFT = (ClientGone, Unauthenticated, Forbidden)  # by themselves, or let out


async def create(request: web.Request) -> web.StreamResponse:
    """``POST …/chat/completions``: ask a model. The answer comes whole or, with ``stream``, as events.

    A client that goes away may resume at ``/api/generations/{id}/events`` for a while. One whose token is revoked hears no more.
    """
    body, principal = await request.read(), request[PRINCIPAL]
    asked = await offload(len(body), parse_request, body)
    spec = await request.app[SERVICES].generations.complete(principal, asked, body)
    request[GENERATION_ID] = spec.id
    try:
        return await (_stream(request, spec, asked) if asked.stream else _whole(request, spec))
    except LEFT:
        request.app[ORPHANED_COMPLETIONS].watch(principal, spec.id)
        raise


async def _whole(request: web.Request, spec: GenerationSpec) -> web.StreamResponse:
    gathered = Completion(spec)
    entries = request.app[SERVICES].generations.listen(request[PRINCIPAL], spec.id, fresh=True)
    async with request.app[CONNECTIONS].hold(request), aclosing(entries):
        async for _, event in entries:
            gathered.add(_unless_failed(event))
    return json_response(gathered.document())


async def _stream(request: web.Request, spec: GenerationSpec, asked: CompletionRequest) -> web.StreamResponse:
    include_usage = bool(asked.stream_options and asked.stream_options.include_usage)
    chunks = CompletionChunks(spec, include_usage=include_usage)
    entries = request.app[SERVICES].generations.listen(request[PRINCIPAL], spec.id, fresh=True)
    async with open_stream(request, _told) as stream, aclosing(entries):
        async for entry_id, event in entries:
            data = chunks.render(entry_id, _unless_failed(event))
            if data:
                await stream.write(data)
    if isinstance(stream.failure, LEFT):
        request.app[ORPHANED_COMPLETIONS].watch(request[PRINCIPAL], spec.id)
    return stream.response


def _unless_failed(event: Event) -> Event:
    if isinstance(event, Failed):
        raise event.error()
    return event


def _told(error: PenstockError) -> bytes:
    """As OpenAI's own servers do it: an event with the error, and then no ``[DONE]``."""
    return error_event(openai_error(error))
