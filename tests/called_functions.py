"""Functions that a test calls in place of the sandbox, as core.services.functions.calls would have them called."""

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec

from core.models.function_calls import CallFunction, FunctionFailure, FunctionOutcome


class CalledFunctions:
    """By their entries. Like jobs, calls go on when nobody waits for them, and one that is asked for again is not made again.

    ``made``: the calls that were begun; ``stopped``: ids of those that were forgotten while they ran. While ``go`` is not set, none ends.
    """

    def __init__(self, **functions: Callable[..., Any]) -> None:
        self.functions = functions
        self.made: list[CallFunction] = []
        self.stopped: list[str] = []
        self.most = 0
        self.go = asyncio.Event()
        self.go.set()
        self._jobs: dict[str, asyncio.Task[FunctionOutcome]] = {}

    @property
    def running(self) -> int:
        return sum(not job.done() for job in self._jobs.values())

    async def run(self, call: CallFunction, *, job_id: str | None = None) -> FunctionOutcome:
        assert job_id
        if job_id not in self._jobs:
            self.made.append(call)
            self._jobs[job_id] = asyncio.create_task(self._make(call))
            self.most = max(self.most, self.running)
        return await asyncio.shield(self._jobs[job_id])

    async def forget(self, job_id: str) -> None:
        job = self._jobs.pop(job_id, None)
        if job and not job.done():
            self.stopped.append(job_id)
            job.cancel()

    async def _make(self, call: CallFunction) -> FunctionOutcome:
        await self.go.wait()
        try:
            result = self.functions[call.entry](**call.arguments)
        except Exception as error:  # noqa: BLE001 - whatever a test's function raises
            failure = FunctionFailure(reason="exception", message=f"{type(error).__name__}: {error}", exception=type(error).__name__)
            return FunctionOutcome(duration=0.0, isolation="none", error=failure)
        return FunctionOutcome(result=msgspec.Raw(msgspec.json.encode(result)), duration=0.0, isolation="none")
