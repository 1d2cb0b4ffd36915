"""The HTTP server below the application: what happens before a request has a route."""

from functools import partial
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import InvalidURLError, LineTooLong

from api.http.errors import error_response, framework_error_response, report_bug
from api.http.headers import BARE
from api.http.keys import SETTINGS
from api.http.pace import keep_pace
from api.http.proxies import Proxies
from api.http.request_log import ID_HEADER, new_request_id
from core.errors import BadRequest
from core.logging import get_logger

SHUTDOWN_S = 2.0
IDLE_S = 75.0

log = get_logger(face="rest")

_MALFORMED: dict[type | None, str] = {
    InvalidURLError: "The address cannot be read. What is not ASCII in it must be percent-encoded.",
    LineTooLong: "The address or a header is too long: 8190 bytes are the limit.",
}


class Runner(web.AppRunner):
    """An application with this server under it."""

    def __init__(self, app: web.Application, *, shutdown_timeout: float = SHUTDOWN_S, idle_s: float = IDLE_S) -> None:
        """``idle_s``: how long a connection may be open without a whole head of a request."""
        super().__init__(app, access_log=None, shutdown_timeout=shutdown_timeout, keepalive_timeout=idle_s)

    async def _make_server(self) -> web.Server:
        return Server(self.app, await super()._make_server())


class Server(web.Server):
    """aiohttp's, whose own errors have our shape, and whose requests know the client behind trusted proxies."""

    def __init__(self, app: web.Application, made: web.Server) -> None:
        """``made``: aiohttp's own for this application."""
        make: Any = partial(app._make_request, _cls=Request)  # noqa: SLF001 - what aiohttp makes servers with
        proxies = Proxies(app[SETTINGS].trusted_proxies)
        super().__init__(_answering(made.request_handler), request_factory=_behind(proxies, make) if proxies else make, **made._kwargs)  # noqa: SLF001

    def __call__(self) -> web.RequestHandler:
        """A new connection's protocol."""
        return Protocol(self, loop=self._loop, **self._kwargs)


class Protocol(web.RequestHandler):
    """One connection."""

    __slots__ = ()

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """What is no HTTP, and what nobody has caught. Nothing of what was sent is told or logged: there may be a token in it."""
        del message
        request_id = new_request_id()
        if status < web.HTTPInternalServerError.status_code:
            log.info("malformed request", why=type(exc).__name__, request_id=request_id)
            response = error_response(
                request, BadRequest(_MALFORMED.get(type(exc) if exc else None, "Malformed HTTP request: it cannot be read as HTTP/1.1."))
            )
        else:
            response = error_response(request, report_bug(exc if isinstance(exc, Exception) else RuntimeError(f"status {status}")))
        if request.writer.output_size > 0:
            raise ConnectionError
        response.headers.update(BARE)
        response.headers[ID_HEADER] = request_id
        response.force_close()
        return response

    def log_exception(self, *args: Any, **kw: Any) -> None:
        """A body that is not packed as it says is no fault of ours, and was answered."""
        if isinstance(kw.get("exc_info"), web.RequestPayloadError):
            log.info("malformed request", why=web.RequestPayloadError.__name__)
        else:
            super().log_exception(*args, **kw)


class Request(web.Request):
    """A request whose body must come, and not too slowly."""

    async def read(self) -> bytes:
        """The body. Raises HTTPRequestEntityTooLarge, HTTPRequestTimeout."""
        if self.content.is_eof() or self._read_bytes is not None:
            return await super().read()
        if (self.content_length or 0) > self.client_max_size:
            raise web.HTTPRequestEntityTooLarge(self.client_max_size)
        async with keep_pace(self.content):
            return await super().read()


def _answering(handle: Any) -> Any:
    """What aiohttp refuses before the first middleware."""

    async def answered(request: web.Request) -> web.StreamResponse:
        try:
            response: web.StreamResponse = await handle(request)
        except web.HTTPException as error:
            return framework_error_response(request, error)
        return response

    return answered


def _behind(proxies: Proxies, make: Any) -> Any:
    """Requests whose scheme, host and remote are those that the client knows."""

    def request(*parts: Any) -> web.BaseRequest:
        made: web.BaseRequest = make(*parts)
        seen = proxies.find_client(made.remote or "", made.headers) if made.headers else None
        return made.clone(**{name: value for name, value in seen._asdict().items() if value}) if seen else made

    return request
