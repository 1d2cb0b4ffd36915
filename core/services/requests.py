"""Requests that come as OpenAI's JSON and travel on as they came."""

import asyncio
from typing import TypeVar

import msgspec

from core.errors import BadRequest

OFF_LOOP_BYTES = 262_144

T = TypeVar("T")


async def parse(body: bytes, kind: type[T]) -> T:
    """The request in a body; a large one is read beside the event loop. Raises BadRequest that names the field at fault."""
    return decode(body, kind) if len(body) < OFF_LOOP_BYTES else await asyncio.to_thread(decode, body, kind)


def decode(body: bytes, kind: type[T]) -> T:
    """The same, here and now."""
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        fault, _, where = str(error).partition(" - at `$")
        field = where.rstrip("`").lstrip(".")
        raise BadRequest(f"{field}: {fault}." if field else f"{fault}.", param=field or None) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        message = f"The body is not JSON that can be read: {error}."
        raise BadRequest(message) from None
