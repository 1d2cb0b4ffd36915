"""The actors that make vectors: load, embed, keep, tell."""

import asyncio

from core.errors import PenstockError
from core.jobs.claims import MAX_ATTEMPTS, Claim, Claims
from core.jobs.results import Results
from core.models.embeddings import Vectors
from core.models.events import Cancelled, Event, Finished
from core.models.generations import JobStatus
from pipelines.embedding import Embedder, embed
from workers.failures import failure
from workers.leases import Ending, Leases

TIME_LIMIT_S = 600


class Embeddings:
    """What ``embed_texts`` and ``relay_embed`` do with a job id; ``worker_id`` names this process.

    A job that another worker left is simply done again.
    """

    def __init__(self, *, worker_id: str, claims: Claims, leases: Leases, results: Results, embedder: Embedder) -> None:
        self._worker_id = worker_id
        self._claims = claims
        self._leases = leases
        self._results = results
        self._embedder = embedder

    async def make(self, job_id: str) -> None:
        """Claim a job and do it. Never raises: a job's failure is its log's last entry."""
        await self._leases.work(job_id, self._worker_id, self._make)

    async def _make(self, claim: Claim, held: Ending) -> str:
        """Embed, keep, tell; how it ended."""
        try:
            if claim.cancelled:
                return await self._end(claim, JobStatus.CANCELLED, Cancelled())
            vectors = await self._embed(claim)
        except asyncio.CancelledError:
            return await self._interrupted(claim, held)
        except Exception as error:  # noqa: BLE001 - whatever it is, who waits must hear of it
            return await self._end(claim, JobStatus.FAILED, failure(error, claim.spec, TIME_LIMIT_S))
        return await self._end(claim, JobStatus.FINISHED, Finished(usage=vectors.usage))

    async def _embed(self, claim: Claim) -> Vectors:
        if claim.attempt > MAX_ATTEMPTS:
            message = f"{claim.attempt - 1} workers died on this request one after the other, so it was given up."
            raise PenstockError(message)
        async with asyncio.timeout(TIME_LIMIT_S):
            vectors = await embed(claim.spec, self._embedder)
        await self._results.put(claim.spec.id, vectors.data)
        return vectors

    async def _interrupted(self, claim: Claim, held: Ending) -> str:
        if held.reason is None or held.reason == "lost":
            raise asyncio.CancelledError
        if held.reason == "stopped":
            return await self._end(claim, JobStatus.CANCELLED, Cancelled())
        await self._leases.give_back(claim)
        return "handed back"

    async def _end(self, claim: Claim, status: JobStatus, last: Event) -> str:
        await self._claims.append(claim, 1, (last,), end=status)
        return str(status)
