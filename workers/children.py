"""Heavy work in children: what may block, crash or eat memory is done in a process of its own, under limits.

A child is a fresh interpreter, not a fork, and is called again and again. Its memory, time and output are bounded; a call that breaks a
limit, crashes or is cancelled costs its own child and nothing else. It has no file of ours open, finds in its environment only what is
named, and ends with us, however we end. It is no sandbox: it may read the files and reach the network that we may, so what runs in it is
code of our own on bytes of others (docs/decisions/0013).
"""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Self

from core.errors import Unavailable
from core.logging import get_logger
from workers.child_process import DYING_S, STOPPING, Child, Killed, Limits, NeverBegun, start

__all__ = ["Children", "Limits"]

KILLS = 4  # of a call's children, after each of which it is done again: perhaps it was another that took the memory

log = get_logger()


class Children:
    """At most ``size`` children at a time, each started when it is first needed; ``environment``: all that they find in theirs."""

    def __init__(self, limits: Limits, size: int, environment: Mapping[str, str] | None = None) -> None:
        self._limits = limits
        self._environment = dict(environment or {})
        self._places = asyncio.Semaphore(size)
        self._children: set[Child] = set()
        self._idle: list[Child] = []
        self._closed = False

    async def __aenter__(self) -> Self:
        """Nothing to start yet."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """End all children, now."""
        self._closed = True
        self._idle.clear()
        endings = [child.ending for child in self._children]
        for child in list(self._children):
            child.kill()
        if endings:
            await asyncio.wait(endings, timeout=DYING_S)

    async def run(self, function: str, payload: bytes) -> bytes:
        """What ``package.module:function`` gives for a payload, both bytes; it waits for a free child, outside of the limits.

        A call whose child somebody kills, or that does not begin, is done again. Cancelled, it kills the child.

        Raises WorkRaised, WorkCrashed, TookTooLong, TookTooMuchMemory, GaveTooMuch, Unavailable.
        """
        async with self._places:
            for _ in range(KILLS):
                with suppress(Killed, NeverBegun):
                    return await self._run(function, payload)
                log.warning("child lost", function=function)
            return await self._run(function, payload)

    async def _run(self, function: str, payload: bytes) -> bytes:
        while self._idle:
            with suppress(NeverBegun):  # it died while it waited for a call, which is not this call's fault
                return await self._call(self._idle.pop(), function, payload)
        return await self._call(await self._start(), function, payload)

    async def _start(self) -> Child:
        if self._closed:
            raise Unavailable(STOPPING)
        try:
            child = await start(self._limits, self._environment)
        except OSError as error:
            message = f"A process for heavy work cannot be started ({error.strerror}). Try again later."
            raise Unavailable(message) from error
        self._children.add(child)
        child.ending.add_done_callback(lambda _: self._children.discard(child))
        if self._closed:
            child.kill()
        return child

    async def _call(self, child: Child, function: str, payload: bytes) -> bytes:
        try:
            return await child.call(function, payload)
        finally:
            said = child.output.take()
            if said:
                log.info("child", function=function, pid=child.pid, said=said)
            if child.fit and not self._closed:
                self._idle.append(child)
            else:
                child.kill()
