"""Bodies in and out: JSON, through msgspec."""

import asyncio
from collections.abc import Mapping
from typing import Any, TypeVar, cast

import msgspec
from aiohttp import web

from core.errors import BadRequest

OFF_LOOP_BYTES = 262_144
MAX_EXACT = 2**53
NOTHING = b"{}"

T = TypeVar("T")

encode = msgspec.json.Encoder().encode


async def read(request: web.Request, kind: type[T]) -> T:
    """The request's body as a model. Raises BadRequest that names the field, what was wrong with it and what is allowed.

    No body is an empty object: enough for a model of which nothing is required.
    """
    body = await request.read() or NOTHING
    if len(body) > OFF_LOOP_BYTES:
        return await asyncio.to_thread(decode, body, kind)
    return decode(body, kind)


def query(request: web.Request, kind: type[T]) -> T:
    """The parameters behind the ``?`` as a model; unknown ones are ignored. Raises BadRequest that names the parameter at fault."""
    given = dict(request.query)
    found = convert(given, kind, strict=False)
    for field in msgspec.structs.fields(cast("type[msgspec.Struct]", kind)) if given else ():
        times = request.query.getall(field.encode_name, [])
        if len(times) > 1:
            message = f"{field.encode_name}: given {len(times)} times. Give it once."
            raise BadRequest(message, param=field.encode_name)
        if times and getattr(found, field.name) is None:
            message = f"{field.encode_name}: {times[0]!r} stands for nothing. Give a value, or leave the parameter out."
            raise BadRequest(message, param=field.encode_name)
    return found


def decode(body: bytes, kind: type[T]) -> T:
    """JSON as a model. Raises BadRequest."""
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        if "got `float`" in str(error):
            return convert(_whole(msgspec.json.decode(body)), kind)
        raise _invalid(error) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        message = f"The body is not JSON that can be read: {error}."
        raise BadRequest(message) from None


def convert(value: Any, kind: type[T], *, strict: bool = True) -> T:
    """The same for a value that is decoded already; not ``strict``: texts stand for numbers too."""
    try:
        return msgspec.convert(value, kind, strict=strict)
    except msgspec.ValidationError as error:
        raise _invalid(error) from None


def answer(value: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """A JSON answer."""
    return web.Response(body=encode(value), status=status, headers=headers, content_type="application/json")


def _whole(value: Any) -> Any:
    """Numbers such as 3.0 as the integers that they are, which is how JSON Schema and programs without integers see them."""
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) <= MAX_EXACT else value
    if isinstance(value, list):
        return [_whole(item) for item in value]
    return {key: _whole(item) for key, item in value.items()} if isinstance(value, dict) else value


def _invalid(error: msgspec.ValidationError) -> BadRequest:
    fault, _, where = str(error).partition(" - at `$")
    field = where.rstrip("`").lstrip(".")
    return BadRequest(f"{field}: {fault}." if field else f"{fault}.", param=field or None)
