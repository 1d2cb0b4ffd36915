"""Calls, and what they gave."""

import json
from typing import Any

from pipelines.sandbox.outcome import Limits, Outcome
from pipelines.sandbox.sandbox import Sandbox

SLEEP = "import time\ndef f(): time.sleep(60)"


async def call(sandbox: Sandbox, code: str, function: str = "f", limits: Limits | None = None, **arguments: Any) -> Outcome:
    """Of a function ``f``."""
    return await sandbox.call(code=code, function=function, arguments=arguments, limits=limits)


def result(outcome: Outcome) -> Any:
    """It has to have one."""
    assert outcome.result is not None, outcome.failure
    return json.loads(bytes(outcome.result))
