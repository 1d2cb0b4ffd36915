"""A user's code, run: its function found and called, and what became of it written as an answer."""

import asyncio
import inspect
import linecache
import sys
import traceback
from collections.abc import Awaitable, Callable
from contextlib import suppress
from json import dumps
from types import ModuleType
from typing import Any

RESULT, UNSERIALISABLE, RAISED, NO_MEMORY, NOT_FOUND = b"r", b"u", b"e", b"m", b"n"
FILE, MODULE = "function.py", "function"  # what tracebacks call the code
MAX_MESSAGE, MAX_TRACEBACK = 2_000, 20_000  # characters


def run(code: str, function: str, arguments: dict[str, Any]) -> tuple[bytes, bytes]:
    """What kind of answer, and its content. ``function``: a function's name, ``Class.method``, or a method of ``Tools``."""
    try:
        target = _find(_load(code), function)
        if target is None:
            return NOT_FOUND, function[:MAX_MESSAGE].encode(errors="replace")
        value = target(**arguments)
        if inspect.isawaitable(value):
            value = asyncio.run(_wait_for(value))
        return _serialise(value)
    except MemoryError:
        return NO_MEMORY, b""
    except BaseException as error:  # noqa: BLE001 - whatever it raises is its caller's; SystemExit, too
        return RAISED, _describe(error)


def _load(code: str) -> ModuleType:
    module = ModuleType(MODULE)
    module.__file__ = FILE
    sys.modules[MODULE] = module
    linecache.cache[FILE] = (len(code), None, code.splitlines(keepends=True), FILE)
    exec(compile(code, FILE, "exec", dont_inherit=True), module.__dict__)  # noqa: S102 - in here, that is the point
    return module


def _find(module: ModuleType, name: str) -> Callable[..., Any] | None:
    owner, _, method = name.rpartition(".")
    found = module.__dict__.get(owner or name)
    if not owner and not callable(found):
        found, owner, method = module.__dict__.get("Tools"), "Tools", name
    if owner and isinstance(found, type):
        found = getattr(found(), method, None)
    return found if callable(found) else None


async def _wait_for(value: Awaitable[Any]) -> Any:
    return await value


def _serialise(value: Any) -> tuple[bytes, bytes]:
    kinds = [type(value).__name__]

    def refuse(part: object) -> None:
        kinds.append(type(part).__name__)
        raise TypeError

    try:
        return RESULT, dumps(value, default=refuse, allow_nan=False, separators=(",", ":")).encode()
    except (TypeError, ValueError, RecursionError) as error:
        why = f" ({error})" if isinstance(error, ValueError) else ""
        return UNSERIALISABLE, f"{kinds[-1]}{why}"[:MAX_MESSAGE].encode(errors="replace")


def _describe(error: BaseException) -> bytes:
    """Type, message and traceback, with the user's own lines only."""
    name, message, lines = type(error).__name__, "", ""
    with suppress(Exception):  # an exception may raise when it is written
        message = str(error)[:MAX_MESSAGE]
    with suppress(Exception):
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == FILE]
        parts = ["Traceback (most recent call last):\n", *traceback.format_list(frames), *traceback.format_exception_only(error)]
        lines = "".join(parts)[-MAX_TRACEBACK:]
    return dumps({"type": name, "message": message, "traceback": lines}).encode()
