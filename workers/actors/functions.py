"""The actor that calls users' functions: look up the code and its settings, have the sandbox make the call, keep what became of it."""

import msgspec

from core.jobs.results import Results
from core.models.events import Event, Finished
from core.models.function_calls import CallFunction, FunctionFailure, FunctionOutcome
from core.models.jobs import JobStatus
from core.services.functions.preparing import Preparation
from pipelines.sandbox.outcome import Given, Limits, Outcome
from workers.attempt import Attempt
from workers.opened_sandbox import OpenedSandbox


class Functions:
    """What ``call_function`` does. A call that another worker left is made again."""

    def __init__(self, *, results: Results, preparation: Preparation, sandbox: OpenedSandbox, limits: Limits) -> None:
        self.results = results
        self.preparation = preparation
        self.sandbox = sandbox
        self.limits = limits

    def __call__(self, attempt: Attempt) -> "FunctionCall":
        """One attempt at a call."""
        return FunctionCall(self, attempt)


class FunctionCall:
    """One call. Cancelled, it ends the process that makes it."""

    keeps = False

    def __init__(self, by: Functions, attempt: Attempt) -> None:
        self._by = by
        self._claim = attempt.claim

    async def do(self) -> Finished:
        """Make it, and keep what became of it for whoever waits for it. Raises NotFound, Unavailable."""
        wanted = msgspec.json.decode(self._claim.input, type=CallFunction)
        sandbox = await self._by.sandbox.get()
        call = await self._by.preparation.prepare(wanted)
        outcome = await sandbox.call(
            code=call.code,
            function=call.callable,
            arguments=wanted.arguments,
            given=Given(valves=call.valves, user_valves=call.user_valves, injected=call.injected),
            limits=self._by.limits,
        )
        await self._by.results.put(self._claim.spec.id, msgspec.json.encode(_told(outcome)))
        return Finished()

    async def keep(self, status: JobStatus, last: Event) -> None:
        """Nothing more."""


def _told(outcome: Outcome) -> FunctionOutcome:
    why, error = outcome.failure, None
    if why:
        error = FunctionFailure(reason=why.reason, message=why.message, exception=why.exception, traceback=why.traceback)
    return FunctionOutcome(
        result=outcome.result or msgspec.Raw(b"null"),
        stdout=outcome.stdout,
        stderr=outcome.stderr,
        duration=round(outcome.seconds, 6),
        isolation=outcome.isolation,
        error=error,
    )
