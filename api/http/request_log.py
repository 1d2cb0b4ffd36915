"""One line per request, and an id that links it to the lines of the jobs it asked for."""

import random
import re
import time

from aiohttp import web
from aiohttp.typedefs import Handler

from api.http.keys import PRINCIPAL, REQUEST_ID
from core.logging import bind, get_logger

QUIET_PATHS = frozenset({"/health", "/ready"})
ID_HEADER = "X-Request-ID"

log = get_logger(face="rest")

_GIVEN_ID = re.compile(r"[\w.:-]{1,64}", re.ASCII)


@web.middleware
async def log_request(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Bind the request's id (the client's, where it sends a sane one), and log how it went. Never its query: there may be a token in it."""
    given = request.headers.get(ID_HEADER)
    request_id = request[REQUEST_ID] = given if given and _GIVEN_ID.fullmatch(given) else new_request_id()
    bind(request_id=request_id)
    began, status = time.perf_counter(), 0
    try:
        response = await handler(request)
        status = response.status
    finally:
        if request.path not in QUIET_PATHS or status >= 400:  # noqa: PLR2004 - the first error
            user = request.get(PRINCIPAL)
            milliseconds = round((time.perf_counter() - began) * 1000, 1)
            log.info(
                "request",
                method=request.method,
                path=request.rel_url.raw_path,
                status=status,
                ms=milliseconds,
                user=user.id if user else None,
            )
    return response


def new_request_id() -> str:
    """An id that tells lines apart and guards nothing. The system's random numbers cost a call that lets go of the interpreter's lock."""
    return f"{random.getrandbits(64):016x}"
