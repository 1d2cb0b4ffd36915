"""Errors as clients see them: ``{"detail": …}`` everywhere, with OpenAI's ``error`` beside it on the routes of its API."""

import http
import secrets
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler

from api.bodies import answer
from api.connections import ClientGone
from core.errors import BadRequest, NotFound, PenstockError
from core.logging import get_logger

CLIENT_GONE = 499
OPENAI_PREFIXES = ("/v1/", "/api/openai/", "/api/chat/completions", "/api/embeddings")
OPENAI_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}

log = get_logger(face="rest")


@web.middleware
async def errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Whatever goes wrong behind this becomes an answer in the one shape."""
    try:
        return await handler(request)
    except PenstockError as error:
        return failure(request, error)
    except web.HTTPException as error:
        return _framework_failure(request, error)
    except ClientGone:
        return web.Response(status=CLIENT_GONE)
    except Exception as error:  # noqa: BLE001 - logged
        return failure(request, bug(error))


def bug(error: Exception) -> PenstockError:
    """What clients see of something that nobody expected: a reference that the log line has too, and nothing else."""
    reference = secrets.token_hex(4)
    log.error("bug", reference=reference, exc_info=error)
    return PenstockError(f"Something went wrong on our side. Tell its operator this reference: {reference}.")


def failure(request: web.BaseRequest, error: PenstockError) -> web.Response:
    """An error as an answer."""
    headers = {"Retry-After": str(error.retry_after)} if error.retry_after is not None else {}
    if error.status == http.HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    return answer(_body(request, error.status, error.detail, error.code, error.param), status=error.status, headers=headers)


def openai_error(status: int, detail: str, code: str | None, param: str | None = None) -> dict[str, Any]:
    """The ``error`` object of OpenAI's API."""
    kind = OPENAI_TYPES.get(status, "server_error" if status >= http.HTTPStatus.INTERNAL_SERVER_ERROR else "invalid_request_error")
    return {"message": detail, "type": kind, "param": param, "code": code}


def _framework_failure(request: web.Request, error: web.HTTPException) -> web.StreamResponse:
    """aiohttp's own: no such route, wrong method, a body that is too large. Redirects pass."""
    if error.status < http.HTTPStatus.BAD_REQUEST:
        return web.Response(status=error.status, headers=error.headers)
    detail, code = error.reason, BadRequest.code
    headers = {name: error.headers[name] for name in ("Allow",) if name in error.headers}
    if error.status == http.HTTPStatus.NOT_FOUND:
        detail, code = f"There is nothing at {request.method} {request.path}.", NotFound.code
    elif isinstance(error, web.HTTPMethodNotAllowed):
        detail = f"{request.method} is not possible here, only {', '.join(sorted(error.allowed_methods))}."
    elif isinstance(error, web.HTTPRequestEntityTooLarge):
        detail = f"The body is larger than {request.client_max_size} bytes, which is the limit."
    return answer(_body(request, error.status, detail, code, None), status=error.status, headers=headers)


def _body(request: web.BaseRequest, status: int, detail: str, code: str, param: str | None) -> dict[str, Any]:
    if not request.path.startswith(OPENAI_PREFIXES):
        return {"detail": detail}
    return {"detail": detail, "error": openai_error(status, detail, code, param)}
