"""Bringing a model here, from wherever it is."""

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing

import aiohttp

from core.errors import ModelNotFound, UpstreamRefused
from core.models.events import Progress
from core.models.pulls import Origin, PullTask
from core.settings import Settings
from pipelines.pulls import ollama
from pipelines.pulls.hub import Hub

CONNECT_TIMEOUT_S = 10
EVERY_S = 0.25


class Puller:
    """What a worker pulls with."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._client: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close all connections."""
        if self._client:
            await self._client.close()

    async def pull(self, task: PullTask) -> AsyncGenerator[Progress, None]:
        """Progress, at a pace that readers bear. Closing it stops. Raises core.errors; ModelNotFound before anything is given."""
        shown_at, last, waiting = 0.0, "", None
        async with aclosing(self._steps(task)) as steps:
            async for step in steps:
                now = time.monotonic()
                if step.status == last and step.completed != step.total and now - shown_at < EVERY_S:
                    waiting = step
                    continue
                shown_at, last, waiting = now, step.status, None
                yield step
        if waiting:
            yield waiting

    async def _steps(self, task: PullTask) -> AsyncGenerator[Progress, None]:
        given, refused = False, None
        if task.source is not Origin.OLLAMA:
            try:
                async with aclosing(Hub(self._settings, self._session()).pull(task.name)) as steps:
                    async for step in steps:
                        given = True
                        yield step
            except (ModelNotFound, UpstreamRefused) as error:
                if given or task.source or not task.upstream:
                    raise
                refused = error
            else:
                return
        try:
            async with aclosing(ollama.pull(self._session(), task.upstream, task.name)) as steps:
                async for step in steps:
                    yield step
        except ModelNotFound as error:
            if refused is None:
                raise
            both = f"{refused.detail} {error.detail}"
            raise type(refused)(both, param=error.param) from None

    def _session(self) -> aiohttp.ClientSession:
        if self._client is None:
            timeout = aiohttp.ClientTimeout(total=None, connect=CONNECT_TIMEOUT_S, sock_read=self._settings.upstream_timeout_s)
            self._client = aiohttp.ClientSession(timeout=timeout)
        return self._client
