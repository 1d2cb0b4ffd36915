"""Bodies in and out: JSON, through msgspec."""

from collections.abc import Mapping
from functools import cache
from typing import Any, TypeVar, cast

import msgspec
from aiohttp import web

from core.errors import BadRequest
from core.json.decoding import MAX_SHOWN, convert, decode, parse

__all__ = ["convert", "decode", "encode", "json_response", "raw_json", "read", "read_query"]

NOTHING = b"{}"

T = TypeVar("T")

encode = msgspec.json.Encoder().encode


async def read(request: web.Request, kind: type[T]) -> T:
    """The request's body as a model. Raises BadRequest that names the field, what was wrong with it and what is allowed.

    JSON counts whatever it is called: forms and files, which are none, are told what they should have been.
    No body is an empty object: enough for a model of which nothing is required.
    """
    body = await request.read() or NOTHING
    try:
        return await parse(body, kind)
    except BadRequest as error:
        if error.param is None and "json" not in request.content_type and "Content-Type" in request.headers:
            message = f"{error.detail} It came as {request.content_type}: send it with `Content-Type: application/json`."
            raise BadRequest(message) from None
        raise


def read_query(request: web.Request, kind: type[T]) -> T:
    """The parameters behind the ``?`` as a model; unknown ones are ignored. Raises BadRequest that names the parameter at fault."""
    given = dict(request.query)
    try:
        found = convert(given, kind, strict=False)
    except BadRequest as error:
        raise _plain(error, given) from None
    for name, parameter in _parameters(cast("Any", kind)) if given else ():
        times = request.query.getall(parameter, [])
        if len(times) > 1:
            message = f"{parameter}: given {len(times)} times. Give it once."
            raise BadRequest(message, param=parameter)
        if times and getattr(found, name) is None:
            message = f"{parameter}: {times[0]!r} stands for nothing. Give a value, or leave the parameter out."
            raise BadRequest(message, param=parameter)
    return found


@cache
def _parameters(kind: Any) -> tuple[tuple[str, str], ...]:
    """A model's fields, and the parameters that they stand for. Asking a model for them takes long."""
    return tuple((field.name, field.encode_name) for field in msgspec.structs.fields(kind))


def _plain(error: BadRequest, given: Mapping[str, str]) -> BadRequest:
    """Everything in an address is a text, and nothing in it is null: what came is shown, not what kind it was of."""
    detail, came = error.detail.replace(" or null", ""), given.get(error.param or "")
    if came is not None and ", not '" not in detail:
        detail = f"{detail.removesuffix('.').removesuffix(', not a string')}, not {came[:MAX_SHOWN]!r}."
    return BadRequest(detail, param=error.param)


def json_response(value: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """A JSON answer."""
    return raw_json(encode(value), status=status, headers=headers)


def raw_json(body: bytes, *, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """JSON that is written already, as an answer."""
    return web.Response(body=body, status=status, headers=headers, content_type="application/json")
