"""The sandbox as its users see it: opened once, called as often and as much at once as is wanted."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Self

import msgspec

from core.errors import Unavailable
from core.logging import get_logger
from pipelines.sandbox.outcome import Given, Isolation, Limits, Outcome
from pipelines.sandbox.zygote_process import ZygoteProcess, start

PLACES = 32

_TRIAL = msgspec.json.encode({"code": "def trial(): return 1", "function": "trial", "arguments": {}, "given": None})

log = get_logger()


class Sandbox:
    """One zygote, started again when it ends.

    ``isolation``: what stands between a user's code and this machine; ``reasons``: why nothing better does.
    """

    def __init__(self, zygote: ZygoteProcess, places: int, reasons: tuple[str, ...]) -> None:
        self.isolation = zygote.isolation
        self.reasons = reasons
        self._zygote = zygote
        self._places = asyncio.Semaphore(places)
        self._starting = asyncio.Lock()
        self._closed = False

    @classmethod
    @asynccontextmanager
    async def open(cls, *, places: int = PLACES, isolations: Sequence[Isolation] = tuple(Isolation)) -> AsyncIterator[Self]:
        """With the first kind of isolation that this machine gives; ``places``: how many calls may be under way at once.

        Raises Unavailable, with the reasons, where it gives none.
        """
        zygote, reasons = await _start_first(isolations)
        sandbox = cls(zygote, places, reasons)
        try:
            yield sandbox
        finally:
            sandbox._closed = True
            await sandbox._zygote.close()

    async def call(
        self, *, code: str, function: str, arguments: Mapping[str, Any], given: Given | None = None, limits: Limits | None = None
    ) -> Outcome:
        """What becomes of a function of some code, called with arguments by name, in a fresh process.

        ``function``: a function's name, ``Class.method``, or a method of the class ``Tools``. It waits for a free place, outside of
        the limits.

        Raises Unavailable where the sandbox itself failed: nothing is known of the call then.
        """
        request = msgspec.json.encode({"code": code, "function": function, "arguments": arguments, "given": given})
        async with self._places:
            zygote = await self._living()
            return await zygote.call(request, limits or Limits())

    async def _living(self) -> ZygoteProcess:
        async with self._starting:
            if not self._zygote.alive:
                if self._closed:
                    message = "The sandbox is closed."
                    raise Unavailable(message)
                await self._zygote.process.wait()
                log.warning("sandbox started again", isolation=self.isolation, code=self._zygote.process.returncode)
                self._zygote = await start(self.isolation)
            return self._zygote


async def _start_first(isolations: Sequence[Isolation]) -> tuple[ZygoteProcess, tuple[str, ...]]:
    """A zygote whose children can be confined, and why the kinds before it were not possible."""
    reasons: list[str] = []
    for isolation in isolations:
        zygote = None
        try:
            zygote = await start(isolation)
            await zygote.call(_TRIAL, Limits())
        except Unavailable as error:
            reasons.append(error.detail)
            if zygote is not None:
                await zygote.close()
        else:
            return zygote, tuple(reasons)
    message = " ".join(("Users' code cannot be run safely on this machine, and so it is not run.", *reasons))
    raise Unavailable(message)
