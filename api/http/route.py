"""One address of the product."""

from typing import Any, NamedTuple

import msgspec
from aiohttp.typedefs import Handler

from api.http.authentication import Access


class Route(NamedTuple):
    """A method and a path, its handler, who may use it, and what goes in and out. Socket.IO and GraphQL look at the token themselves.

    ``body``: the model of the JSON that is sent; ``query``: of the parameters behind the ``?``; ``answer``: of the JSON that comes back
    with ``status``, None where that is not JSON of one shape. ``also``: other paths for the same thing.

    ``form``: the model of the fields of a form (multipart/form-data), in place of a ``body``.
    ``media``: other media types that the answer may have. ``errors``: codes beside those that follow from the rest (api.docs.operations);
    ``others``: codes with the model of a body that is no ``{"detail"}``, a media type where it is text, None where there is no body.
    ``pieces``: the model of what an answer that comes piece by piece is made of.
    ``page``: a browser that opens the address gets a page without being asked who it is.
    ``counted``: where anyone may ask, whether it counts against the rate limit of their address.
    ``upload``: it counts against its user's limit of uploads, not against that of requests.
    """

    method: str
    path: str
    handler: Handler
    access: Access
    body: Any = None
    form: type[msgspec.Struct] | None = None
    query: type[msgspec.Struct] | None = None
    answer: Any = None
    status: int = 200
    counted: bool = True
    upload: bool = False
    page: bool = False
    also: tuple[str, ...] = ()
    pieces: Any = None
    media: tuple[str, ...] = ()
    errors: tuple[int, ...] = ()
    others: tuple[tuple[int, Any], ...] = ()
