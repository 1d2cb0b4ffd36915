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
from typing import Any, TypedDict

RESULT, UNSERIALISABLE, RAISED, NO_MEMORY, NOT_FOUND, WRONG_SETTINGS = b"r", b"u", b"e", b"m", b"n", b"v"
FILE, MODULE = "function.py", "function"  # what tracebacks call the code
MAX_MESSAGE, MAX_TRACEBACK = 2_000, 20_000  # characters
EMITTERS = ("__event_emitter__", "__event_call__")
USER = "__user__"


class Given(TypedDict):
    """What the product gives a call. ``valves``, ``user_valves``: settings, where the code has a class for them.

    ``injected``: parameters that are not the caller's, such as ``__user__``.
    """

    valves: dict[str, Any] | None
    user_valves: dict[str, Any] | None
    injected: dict[str, Any]


def run(code: str, function: str, arguments: dict[str, Any], given: Given | None) -> tuple[bytes, bytes]:
    """What kind of answer, and its content. ``function``: a function's name, ``Class.method``, or a method of ``Tools``."""
    try:
        holder, target = _find(_load(code), function)
        if target is None:
            return NOT_FOUND, function[:MAX_MESSAGE].encode(errors="replace")
        injected = _set_up(holder, given) if given else {}
        value = target(**arguments, **injected)
        if inspect.isawaitable(value):
            value = asyncio.run(_wait_for(value))
        return _serialise(value)
    except MemoryError:
        return NO_MEMORY, b""
    except _WrongSettingsError as error:
        return WRONG_SETTINGS, str(error)[:MAX_MESSAGE].encode(errors="replace")
    except BaseException as error:  # noqa: BLE001 - whatever it raises is its caller's; SystemExit, too
        return RAISED, _describe(error)


def _load(code: str) -> ModuleType:
    module = ModuleType(MODULE)
    module.__file__ = FILE
    sys.modules[MODULE] = module
    linecache.cache[FILE] = (len(code), None, code.splitlines(keepends=True), FILE)
    exec(compile(code, FILE, "exec", dont_inherit=True), module.__dict__)  # noqa: S102 - in here, that is the point
    return module


def _find(module: ModuleType, name: str) -> tuple[object, Callable[..., Any] | None]:
    """What can be called, and the object or module that it belongs to."""
    holder: object = module
    owner, _, method = name.rpartition(".")
    found = module.__dict__.get(owner or name)
    if not owner and not callable(found):
        found, owner, method = module.__dict__.get("Tools"), "Tools", name
    if owner and isinstance(found, type):
        holder = found()
        found = getattr(holder, method, None)
    return holder, found if callable(found) else None


def _set_up(holder: object, given: Given) -> dict[str, Any]:
    """As Open WebUI does: settings are an instance of the code's own class, in ``valves`` and in ``__user__["valves"]``."""
    injected: dict[str, Any] = {name: _tell_nobody if name in EMITTERS else value for name, value in given["injected"].items()}
    if given["valves"] is not None:
        setattr(holder, "valves", _settings(holder, "Valves", given["valves"]))  # noqa: B010 - whatever object it is
    if given["user_valves"] is not None and USER in injected:
        injected[USER]["valves"] = _settings(holder, "UserValves", given["user_valves"])
    return injected


class _WrongSettingsError(Exception):
    """The code's own class refuses its settings."""


def _settings(holder: object, name: str, values: dict[str, Any]) -> object:
    """An instance of the class. What it refuses is named, and never repeated: it may be secret."""
    try:
        return getattr(holder, name)(**values)
    except MemoryError:
        raise
    except BaseException as error:  # noqa: BLE001 - the class is the user's
        places = [".".join(map(str, fault["loc"])) for fault in error.errors(include_input=False)] if hasattr(error, "errors") else []
        message = f"{name}: {', '.join(places) or type(error).__name__}"
        raise _WrongSettingsError(message) from None


async def _tell_nobody(*_: object, **__: object) -> None:
    """Nobody listens to what a call tells of its progress."""


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
