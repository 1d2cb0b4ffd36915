"""Errors as clients see them: ``{"detail": …}`` everywhere, with OpenAI's ``error`` beside it on the routes of its API."""

import http
import secrets
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler

from api.http.disconnects import ClientGone
from api.http.json import json_response
from core.errors import BadRequest, NotFound, PenstockError
from core.logging import get_logger

CLIENT_GONE = 499
BYTES_PER_MB = 1_048_576
OPENAI_PREFIXES = ("/v1/", "/api/openai/", "/api/chat/completions/", "/api/embeddings/")
OPENAI_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}
OPENAI_CODES = {"unauthenticated": "invalid_api_key"}  # where OpenAI's servers have a name for it

log = get_logger(face="rest")


@web.middleware
async def handle_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Whatever goes wrong behind this becomes an answer in the one shape."""
    try:
        return await handler(request)
    except PenstockError as error:
        return error_response(request, error)
    except web.HTTPException as error:
        return framework_error_response(request, error)
    except ClientGone:
        return web.Response(status=CLIENT_GONE)
    except (web.RequestPayloadError, ConnectionError) as error:
        return _broken_off(request, error)
    except Exception as error:  # noqa: BLE001 - logged
        return error_response(request, report_bug(error))


def report_bug(error: Exception) -> PenstockError:
    """What clients see of something that nobody expected: a reference that the log line has too, and nothing else."""
    reference = secrets.token_hex(4)
    log.error("unhandled error", reference=reference, exc_info=error)
    return PenstockError(f"Something went wrong on our side. Tell its operator this reference: {reference}.")


def error_response(request: web.BaseRequest, error: PenstockError) -> web.Response:
    """An error as an answer."""
    headers = {"Retry-After": str(error.retry_after)} if error.retry_after is not None else {}
    if error.status == http.HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    return json_response(_body(request, error.status, error), status=error.status, headers=headers)


def openai_error(error: PenstockError, status: int | None = None) -> dict[str, Any]:
    """The ``error`` object of OpenAI's API."""
    status = status or error.status
    kind = OPENAI_TYPES.get(status, "server_error" if status >= http.HTTPStatus.INTERNAL_SERVER_ERROR else "invalid_request_error")
    return {
        "message": error.detail,
        "type": kind,
        "param": error.param,
        "code": error.upstream_code or OPENAI_CODES.get(error.code, error.code),
    }


def _broken_off(request: web.Request, error: Exception) -> web.Response:
    """A body that ends too early, with its client or without."""
    if request.transport is None or request.transport.is_closing():
        return web.Response(status=CLIENT_GONE)
    if isinstance(error, web.RequestPayloadError):
        return error_response(request, BadRequest("The body cannot be read: it breaks off, or is not encoded as its headers say."))
    return error_response(request, report_bug(error))


def framework_error_response(request: web.Request, error: web.HTTPException) -> web.StreamResponse:
    """aiohttp's own: no such route, wrong method, a body that is too large. Redirects pass."""
    if error.status < http.HTTPStatus.BAD_REQUEST:
        return web.Response(status=error.status, headers=error.headers)
    detail: str = error.reason
    kind: type[PenstockError] = BadRequest
    headers = {name: error.headers[name] for name in ("Allow",) if name in error.headers}
    if error.status == http.HTTPStatus.NOT_FOUND:
        detail, kind = f"There is nothing at {request.method} {request.path}.", NotFound
    elif isinstance(error, web.HTTPMethodNotAllowed):
        detail = f"{request.method} is not possible here, only {', '.join(sorted(error.allowed_methods))}."
    elif isinstance(error, web.HTTPRequestEntityTooLarge):
        detail = f"The body is larger than {request.client_max_size // BYTES_PER_MB} MB, which is the limit."
    elif isinstance(error, web.HTTPRequestTimeout):
        detail = "The body came too slowly. Send it again over a better connection."
    return json_response(_body(request, error.status, kind(detail)), status=error.status, headers=headers)


def _body(request: web.BaseRequest, status: int, error: PenstockError) -> dict[str, Any]:
    if not f"{request.path}/".startswith(OPENAI_PREFIXES):
        return {"detail": error.detail}
    return {"detail": error.detail, "error": openai_error(error, status)}
