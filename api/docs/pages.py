"""What there is at which address, described for programs (OpenAPI) and shown to people (Swagger UI, ReDoc)."""

import hashlib
from typing import NamedTuple

from aiohttp import web

from api.http.static_files import read_page

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; "
    "worker-src blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
FRONT = "/docs"
PAGES = {name: read_page(name) for name in ("swagger", "redoc")}


class Document(NamedTuple):
    """The OpenAPI document as it is sent; ``tag`` changes with it."""

    body: bytes
    tag: str

    @classmethod
    def of(cls, body: bytes) -> "Document":
        """With its tag."""
        return cls(body, hashlib.sha256(body).hexdigest()[:16])


DOCUMENT = web.AppKey("document", Document)


async def openapi(request: web.Request) -> web.Response:
    """``GET /openapi.json``: this document. OpenAPI 3.1; 304 to a client that has it already."""
    document = request.app[DOCUMENT]
    if any(tag.value in {document.tag, "*"} for tag in request.if_none_match or ()):
        response = web.Response(status=304)
    else:
        response = web.Response(body=document.body, content_type="application/json", headers={"Cache-Control": "no-cache"})
    response.etag = document.tag
    return response


async def front(request: web.Request) -> web.Response:
    """``GET /``: where everything begins. Sent on to ``/docs``."""
    del request
    return web.Response(status=307, headers={"Location": FRONT})


async def swagger(request: web.Request) -> web.Response:
    """``GET /docs``: every address, to be tried out. A page (Swagger UI); "Authorize" takes a token or an API key."""
    return _page(request, "swagger")


async def redoc(request: web.Request) -> web.Response:
    """``GET /redoc``: every address, to be read. A page (ReDoc)."""
    return _page(request, "redoc")


def _page(request: web.Request, name: str) -> web.Response:
    del request
    return web.Response(text=PAGES[name], content_type="text/html", headers={"Content-Security-Policy": POLICY})
