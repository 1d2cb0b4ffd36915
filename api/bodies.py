"""Bodies in and out: JSON, through msgspec."""

import asyncio
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec
from aiohttp import web

from core.errors import BadRequest

OFF_LOOP_BYTES = 262_144

T = TypeVar("T")

encode = msgspec.json.Encoder().encode


async def read(request: web.Request, kind: type[T]) -> T:
    """The request's body as a model. Raises BadRequest that names the field, what was wrong with it and what is allowed."""
    body = await request.read()
    if len(body) > OFF_LOOP_BYTES:
        return await asyncio.to_thread(decode, body, kind)
    return decode(body, kind)


async def read_or(request: web.Request, otherwise: T) -> T:
    """The same for a body that may be left out, which means ``otherwise``. Raises BadRequest."""
    return await read(request, type(otherwise)) if await request.read() else otherwise


def query(request: web.Request, kind: type[T]) -> T:
    """The parameters behind the ``?`` as a model; unknown ones are ignored. Raises BadRequest that names the parameter at fault."""
    return convert(dict(request.query), kind, strict=False)


def decode(body: bytes, kind: type[T]) -> T:
    """JSON as a model. Raises BadRequest."""
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
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


def _invalid(error: msgspec.ValidationError) -> BadRequest:
    fault, _, where = str(error).partition(" - at `$")
    field = where.rstrip("`").lstrip(".")
    return BadRequest(f"{field}: {fault}." if field else f"{fault}.", param=field or None)
