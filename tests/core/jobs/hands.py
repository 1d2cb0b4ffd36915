"""A worker's hands: what it fetches and ends, step by step."""

from core.jobs.claims import Claim
from core.models.events import Cancelled, Event, Failed, Finished
from core.models.jobs import JobStatus
from tests.job_backend import JobBackend


class Hands:
    """One worker's, without its loop."""

    def __init__(self, backend: JobBackend) -> None:
        self._backend = backend

    async def take(self, queue: str) -> Claim:
        """Fetch what is first on a queue, and claim it."""
        (message,) = await self._backend.queue.fetch(queue, "one", 1)
        claim = await self._backend.claims.claim(message.args[0], "one")
        assert claim
        return claim

    async def end(self, claim: Claim, last: Event | None = None) -> None:
        """As an attempt does."""
        status = (
            JobStatus.FAILED if isinstance(last, Failed) else JobStatus.CANCELLED if isinstance(last, Cancelled) else JobStatus.FINISHED
        )
        await self._backend.claims.append(claim, 1, [last or Finished()], end=status)
        await self._backend.queue.submit_next(claim.spec)
        await self._backend.queue.fetch(claim.spec.queue, "one", 0, [claim.spec.id])
