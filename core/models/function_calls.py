"""Calls of functions: what a worker is asked, and what became of it."""

from typing import Any

import msgspec


class CallFunction(msgspec.Struct, frozen=True, kw_only=True):
    """One call. ``version_id``: the code, as it was when this was asked for; ``entry``: which callable; ``user_id``: on whose behalf.

    Settings are not in here: the worker looks them up when the call begins, because some are secret.
    """

    function_id: str
    version_id: str
    entry: str
    arguments: dict[str, Any]
    user_id: str


class TryFunction(msgspec.Struct, frozen=True, kw_only=True):
    """A call by hand. ``args``: by name; ``entry``: which callable, where there are several."""

    args: dict[str, Any] = {}
    entry: str | None = None


class FunctionFailure(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why a call has no result.

    ``reason``: ``exception``, ``not_serialisable``, ``not_found``, ``wrong_settings``, ``denied``, ``crashed``, or a limit's name.
    ``exception``: what was raised; ``traceback``: the lines of the function's own code.
    """

    reason: str
    message: str
    exception: str | None = None
    traceback: str | None = None


class FunctionOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """``result``: JSON, where there is no failure; ``duration``: seconds; ``isolation``: what stood between the code and the machine."""

    result: msgspec.Raw = msgspec.Raw(b"null")
    stdout: str = ""
    stderr: str = ""
    duration: float
    isolation: str
    error: FunctionFailure | None = None
