"""The sandbox of one worker process, opened in the background: jobs that need none do not wait for it."""

import asyncio
from contextlib import AsyncExitStack

from core.errors import Unavailable
from core.logging import get_logger
from pipelines.sandbox.sandbox import Sandbox

log = get_logger()


class OpenedSandbox:
    """``places``: how many calls may be under way at once. However the worker ends, the kernel ends the sandbox with it."""

    def __init__(self, places: int) -> None:
        self._places = places
        self._stack = AsyncExitStack()
        self._opening: asyncio.Task[Sandbox | Unavailable] | None = None

    def open(self) -> None:
        """On the event loop. The log says what it came to."""
        self._opening = asyncio.create_task(self._open())

    async def get(self) -> Sandbox:
        """When it is open. Raises Unavailable, with the reason, where this machine gives none."""
        if self._opening is None:
            self.open()
        assert self._opening is not None  # noqa: S101 - it has just been begun
        sandbox = await asyncio.shield(self._opening)
        if isinstance(sandbox, Unavailable):
            raise Unavailable(sandbox.detail)
        return sandbox

    async def close(self) -> None:
        """End it and all that runs in it."""
        if self._opening:
            await asyncio.wait((self._opening,))
            await self._stack.aclose()
            self._opening = None

    async def _open(self) -> Sandbox | Unavailable:
        try:
            sandbox = await self._stack.enter_async_context(Sandbox.open(places=self._places))
        except Unavailable as error:
            log.warning("no sandbox: calls of functions are refused", why=error.detail)
            return error
        log.info("sandbox", isolation=sandbox.isolation, why_none_better=sandbox.reasons)
        return sandbox
