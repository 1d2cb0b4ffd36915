"""Calls of functions, asked for and waited for. A worker's sandbox makes them."""

import time

import msgspec

from core.jobs import CALL_FUNCTION, queue_of
from core.jobs.calls import Calls
from core.logging import request_id
from core.models.function_calls import CallFunction, FunctionOutcome
from core.models.jobs import JobSpec


class FunctionCalls:
    """The service of calls."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def run(self, call: CallFunction, *, job_id: str | None = None) -> FunctionOutcome:
        """Make a call that was checked before. Cancelled, it stops.

        ``job_id``: of one that may have been asked for already: it is not made twice, and goes on until somebody says ``forget``.
        Raises Unavailable where no worker can make it; what the code itself does wrong is in the outcome.
        """
        spec = JobSpec(
            id=job_id or self._calls.new_id(),
            kind=CALL_FUNCTION,
            queue=queue_of(CALL_FUNCTION),
            owner=call.user_id,
            created_at=int(time.time()),
            request_id=request_id(),
        )
        make = self._calls.find_or_make if job_id else self._calls.make
        _, outcome = await make(spec, msgspec.json.encode(call))
        return msgspec.json.decode(outcome, type=FunctionOutcome)

    async def forget(self, job_id: str) -> None:
        """Stop a call that goes on, and keep nothing of it."""
        await self._calls.forget(job_id)
