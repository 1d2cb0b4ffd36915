"""Which kind of isolation this machine gives, tried and not guessed."""

import msgspec

from core.errors import Unavailable
from pipelines.sandbox.outcome import COVERS, COVERS_NOT, Isolation
from pipelines.sandbox.sandbox import Sandbox


class Probe(msgspec.Struct, frozen=True, kw_only=True):
    """``isolation``: none where users' code is refused; ``reasons``: why what is better is not possible."""

    isolation: Isolation | None
    covers: str = ""
    covers_not: str = ""
    reasons: tuple[str, ...] = ()


async def probe() -> Probe:
    """Open a sandbox, and say which it is."""
    try:
        async with Sandbox.open(places=1) as sandbox:
            isolation, reasons = sandbox.isolation, sandbox.reasons
    except Unavailable as error:
        return Probe(isolation=None, reasons=(error.detail,))
    return Probe(isolation=isolation, covers=COVERS[isolation], covers_not=COVERS_NOT[isolation], reasons=reasons)
