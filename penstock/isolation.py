"""What stands between users' functions and this machine: tried, and then attacked."""

import asyncio
import time

import msgspec

from core.errors import Unavailable
from pipelines.sandbox.outcome import COVERS, COVERS_NOT
from pipelines.sandbox.sandbox import Sandbox
from pipelines.sandbox.self_attack import Verdict, attack_self


class Tried(msgspec.Struct, frozen=True, kw_only=True):
    """``what``: in words; ``verdicts``: of the attacks, none where there is nothing to attack; ``seconds``: how long they took."""

    what: str
    verdicts: tuple[Verdict, ...] = ()
    seconds: float = 0.0

    @property
    def failed(self) -> list[Verdict]:
        """Attacks that were not denied, or not for the cause that was expected."""
        return [verdict for verdict in self.verdicts if not verdict.denied]


def attempt() -> Tried:
    """Open a sandbox and attack it."""
    return asyncio.run(_attempt())


async def _attempt() -> Tried:
    try:
        async with Sandbox.open() as sandbox:
            began = time.monotonic()
            verdicts = await attack_self(sandbox)
            seconds = time.monotonic() - began
    except Unavailable as error:
        return Tried(what=error.detail)
    isolation = sandbox.isolation
    better = f". Nothing better here: {' '.join(sandbox.reasons)}" if sandbox.reasons else ""
    what = f"{isolation}. Covered: {COVERS[isolation]}. Not covered: {COVERS_NOT[isolation]}{better}"
    return Tried(what=what, verdicts=tuple(verdicts), seconds=seconds)
