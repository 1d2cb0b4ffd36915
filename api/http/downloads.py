"""A file on its way out: whole, in part, or not at all where the client has it.

Sources: RFC 9110 for conditions and ranges, RFC 6266 and 8187 for names.
"""

import asyncio
import re
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import NamedTuple
from urllib.parse import quote

from aiohttp import web

from api.http.disconnects import ClientGone
from api.http.errors import error_response, report_bug
from api.http.keys import CONNECTIONS
from core.errors import PenstockError

# What a browser may show by itself: nothing that can hold a script of its own.
SHOWN = frozenset({"application/pdf", "text/plain", "image/png", "image/jpeg", "image/gif", "image/webp"})
PDF = "application/pdf"
STALLED_S = 300.0  # for a piece of 256 KiB: somewhat less than 1 KB a second
UNTOUCHED = "!#$&+-.^_`|~"  # beside letters and digits: attr-char of RFC 8187

_RANGE = re.compile(r"bytes=\s*(\d{0,18})\s*-\s*(\d{0,18})\s*", re.ASCII)
_NO_ASCII = re.compile(r"[^ !#-\[\]-~]")


class OutOfRange(PenstockError):
    """A part that the file does not have."""

    status, code = 416, "range_not_satisfiable"


class Download(NamedTuple):
    """What is sent. ``tag`` changes with the bytes; ``read(start, length)`` gives them, a piece at a time."""

    name: str
    kind: str
    size: int
    tag: str
    read: Callable[[int, int], AsyncGenerator[bytes, None]]


async def send(request: web.Request, download: Download, *, attached: bool) -> web.StreamResponse:
    """Answer with a file. ``attached``: a browser saves it, also where it could show it. Raises NotFound where its bytes are gone."""
    if any(tag.value in {download.tag, "*"} for tag in request.if_none_match or ()):
        response: web.StreamResponse = web.Response(status=304, headers={"Cache-Control": "private, no-cache"})
        response.etag = download.tag
        return response
    try:
        part = _asked_part(request, download)
    except OutOfRange as error:
        refused = error_response(request, error)
        refused.headers["Content-Range"] = f"bytes */{download.size}"
        return refused
    start, length = part or (0, download.size)
    response = web.StreamResponse(status=200 if part is None else 206, headers=_headers(download, attached=attached))
    response.etag = download.tag
    response.content_length = length
    if part:
        response.headers["Content-Range"] = f"bytes {start}-{start + length - 1}/{download.size}"
    if request.method == "HEAD":
        await response.prepare(request)
        return response
    async with aclosing(download.read(start, length)) as pieces:
        first = await anext(pieces, b"")
        await _stream(request, response, first, pieces)
    return response


async def _stream(request: web.Request, response: web.StreamResponse, first: bytes, rest: AsyncGenerator[bytes, None]) -> None:
    """What goes wrong behind the headers can only be told by breaking off. Raises ClientGone then."""
    try:
        async with request.app[CONNECTIONS].hold(request):
            await response.prepare(request)
            await _write(response, first)
            async for piece in rest:
                await _write(response, piece)
            await response.write_eof()
    except Exception as error:
        if not response.prepared:
            raise
        if not isinstance(error, ClientGone | ConnectionError | TimeoutError | PenstockError):
            report_bug(error)
        if request.transport:
            request.transport.abort()
        raise ClientGone from None


async def _write(response: web.StreamResponse, piece: bytes) -> None:
    """Raises TimeoutError where the client takes nothing any more."""
    async with asyncio.timeout(STALLED_S):
        await response.write(piece)


def _asked_part(request: web.Request, download: Download) -> tuple[int, int] | None:
    """Where the part begins and how long it is; None for all of it, which is also for what cannot be read and for several parts at once.

    Raises OutOfRange.
    """
    asked = _RANGE.fullmatch(request.headers.get("Range", "")) if request.method == "GET" else None
    if asked is None or asked[1] == asked[2] == "" or request.headers.get("If-Range", f'"{download.tag}"') != f'"{download.tag}"':
        return None
    size = download.size
    if asked[1] == "":
        start, end = max(0, size - int(asked[2])), size
    else:
        start, end = int(asked[1]), min(size, int(asked[2]) + 1 if asked[2] else size)
        if asked[2] and int(asked[2]) < start:
            return None
    if start >= size:
        message = f"The file has {size} bytes: there is nothing in that range."
        raise OutOfRange(message)
    return start, end - start


def _headers(download: Download, *, attached: bool) -> dict[str, str]:
    """A browser runs nothing of it and looks for no other type in it, even where it is opened by itself."""
    shown = download.kind in SHOWN and not attached
    policy = "default-src 'none'; frame-ancestors 'none'"
    return {
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, no-cache",
        "Content-Disposition": disposition(download.name, inline=shown),
        "Content-Security-Policy": policy if download.kind == PDF else f"{policy}; sandbox",  # browsers show no PDF in a sandbox
        "Content-Type": f"{download.kind}; charset=utf-8" if download.kind.startswith("text/") else download.kind,
        "X-Content-Type-Options": "nosniff",
    }


def disposition(name: str, *, inline: bool) -> str:
    """``Content-Disposition`` for a name of any letters: once as old programs read it, once exactly."""
    plain = _NO_ASCII.sub("_", name).replace("%", "_")  # some programs would read %41 as A
    exact = "" if plain == name else f"; filename*=UTF-8''{quote(name, safe=UNTOUCHED)}"
    return f'{"inline" if inline else "attachment"}; filename="{plain}"{exact}'
