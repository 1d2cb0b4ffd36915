"""Waiting for a condition, never for a time."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, overload

T = TypeVar("T")
PAUSE_S = 0.02


@overload
async def until(condition: Callable[[], Awaitable[T | None]], what: str, *, timeout_s: float = 20) -> T: ...


@overload
async def until(condition: Callable[[], T | None], what: str, *, timeout_s: float = 20) -> T: ...


async def until(condition: Callable[[], Any], what: str, *, timeout_s: float = 20) -> Any:
    """Call ``condition`` until it gives something true, and return that. Fails naming ``what`` was waited for."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_s
    while True:
        found = condition()
        value = await found if inspect.isawaitable(found) else found
        if value:
            return value
        assert loop.time() < deadline, f"waited {timeout_s} s in vain until {what}"
        await asyncio.sleep(PAUSE_S)
