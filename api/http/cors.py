"""Pages of other origins: which of them may use the API from a browser. Source: the Fetch standard, "CORS protocol"."""

import re
from collections.abc import Iterable
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler

from core.errors import Forbidden

ANY = "*"
PREFLIGHT_AGE_S = 600
ALLOWED = "Authorization, Content-Type, If-Match, If-None-Match, If-Range, Last-Event-ID, Range, X-Request-ID"
EXPOSED = (
    "Content-Disposition, Content-Range, ETag, Retry-After, X-Generation-Id, X-Job-Id, X-RateLimit-Limit, X-RateLimit-Remaining, "
    "X-RateLimit-Reset, X-Request-ID, X-Total-Count"
)

_HEADERS = re.compile(r"[\w!#$%&'*+.^`|~-]{1,64}(, ?[\w!#$%&'*+.^`|~-]{1,64}){0,63}", re.ASCII)


class Origins:
    """The origins that the operator has named; ``*`` stands for all others, which get no cookie."""

    def __init__(self, named: Iterable[str], public_url: str = "") -> None:
        """``public_url``: where people reach our own pages, if that is known."""
        self._named = frozenset(origin.rstrip("/").lower() for origin in named)
        parts = urlsplit(public_url.lower())
        self._own = f"{parts.scheme}://{parts.netloc}"

    def __bool__(self) -> bool:
        return bool(self._named)

    def is_named(self, origin: str | None) -> bool:
        """Whether it was named itself: then the cookie counts too."""
        return origin is not None and origin != ANY and origin.lower() in self._named

    def is_own(self, origin: str) -> bool:
        """Whether it is ours, as the operator has set it."""
        return origin.lower() == self._own

    def allows(self, origin: str | None) -> bool:
        """Whether its pages may read answers."""
        return self.is_named(origin) or (origin is not None and ANY in self._named)

    def headers(self, origin: str) -> dict[str, str]:
        """What tells a browser so; empty for an origin that is not allowed."""
        if self.is_named(origin):
            return {"Access-Control-Allow-Origin": origin, "Access-Control-Allow-Credentials": "true"}
        return {"Access-Control-Allow-Origin": ANY} if self.allows(origin) else {}


ORIGINS = web.AppKey("origins", Origins)


@web.middleware
async def answer_preflight(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer a browser that asks before it sends something; only there where other origins are allowed at all.

    Whatever headers its page wants to send are allowed: libraries have some of their own (OpenAI's begin with ``x-stainless-``).
    """
    origin = request.headers.get("Origin")
    asked = request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers
    if not asked or not request.app[ORIGINS].allows(origin):
        return await handler(request)
    refusal = request.match_info.http_exception
    methods = refusal.allowed_methods if isinstance(refusal, web.HTTPMethodNotAllowed) else ()
    if refusal is not None and not methods:
        raise refusal
    wanted = request.headers.get("Access-Control-Request-Headers", "")
    told = {
        "Access-Control-Allow-Methods": ", ".join(sorted(methods)) or "GET, POST",
        "Access-Control-Allow-Headers": f"{ALLOWED}, {wanted}" if _HEADERS.fullmatch(wanted) else ALLOWED,
        "Access-Control-Max-Age": str(PREFLIGHT_AGE_S),
    }
    return web.Response(status=204, headers=told)


async def add_cors_headers(request: web.Request, response: web.StreamResponse) -> None:
    """For ``on_response_prepare``: errors and streams too are for those who may read answers."""
    response.headers.add("Vary", "Origin")
    origin = request.headers.get("Origin")
    if origin:
        response.headers.update(request.app[ORIGINS].headers(origin))
        response.headers["Access-Control-Expose-Headers"] = EXPOSED


def is_same_origin(request: web.Request) -> bool:
    """Whether it comes from our own pages, or from a program. Those whose cookies count.

    Browsers say it themselves by ``Sec-Fetch-Site``, but not over plain HTTP; the host is not ours where a proxy has put in its own.
    """
    origin, site, origins = request.headers.get("Origin"), request.headers.get("Sec-Fetch-Site", "none"), request.app[ORIGINS]
    if origin is None:
        return site in {"none", "same-origin"}
    return site == "same-origin" or urlsplit(origin).netloc == request.host or origins.is_own(origin) or origins.is_named(origin)


def check_websocket_origin(request: web.Request) -> None:
    """Browsers let any page open a websocket: what it may is up to us. Raises Forbidden."""
    origin = request.headers.get("Origin")
    if origin is not None and not is_same_origin(request) and not request.app[ORIGINS].allows(origin):
        message = f"Pages of {origin[:100]} may not connect. The operator can name them in PENSTOCK_CORS_ORIGINS."
        raise Forbidden(message)
