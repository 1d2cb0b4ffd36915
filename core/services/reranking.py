"""Passages in the order in which they fit a question: asked for and waited for. The comparing is a worker's.

It is an improvement, and no answer waits for it for long: where it cannot be had, there is none, and the log says why.
"""

import asyncio
import time
from collections.abc import Sequence

import msgspec

from core.errors import PenstockError, Unavailable
from core.jobs import RERANK, queue_of
from core.jobs.calls import Calls
from core.logging import get_logger, request_id
from core.models.jobs import JobSpec
from core.models.pools import WorkerState
from core.models.reranking import RerankTask
from core.redis.workers import WorkerRegistry
from core.settings import Settings

UNSET = (
    "Re-ranking is not set up here. An administrator sets PENSTOCK_RERANKING_MODEL to a folder with a cross-encoder. Leave `rerank` out to "
    "be given what is found without."
)

PATIENCE_S = 3.0  # for a worker that has died: another takes over sooner, and this one would have to load its models first

log = get_logger(face="core")


class Reranking:
    """The service of better orders. ``candidates``: so many passages of what was found are compared with the question."""

    def __init__(self, settings: Settings, workers: WorkerRegistry, calls: Calls) -> None:
        self.is_set = bool(settings.reranking_model)
        self.candidates = settings.reranking_candidates
        self._timeout_s = settings.reranking_timeout_s
        self._workers = workers
        self._calls = calls

    async def score(self, owner: str, query: str, passages: Sequence[str]) -> list[float] | None:
        """How well each passage fits, 0 to 1, higher is better; None where nobody has said so in time. Cancelled, it stops the job."""
        spec = JobSpec(
            id=self._calls.new_id(),
            kind=RERANK,
            queue=queue_of(RERANK),
            owner=owner,
            created_at=int(time.time()),
            request_id=request_id(),
        )
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._check_served(spec.queue)
                task = RerankTask(query=query, passages=list(passages))
                _, found = await self._calls.make(spec, msgspec.json.encode(task), patience_s=PATIENCE_S)
            return msgspec.json.decode(found, type=list[float])
        except TimeoutError:
            why = f"It has taken longer than PENSTOCK_RERANKING_TIMEOUT_S, {self._timeout_s} seconds."
        except PenstockError as error:
            why = error.detail
        log.warning("not re-ranked", why=why)
        return None

    async def _check_served(self, queue: str) -> None:
        """What no worker is there for is not begun: most would wait for nothing."""
        if not any(worker.state is WorkerState.READY and queue in worker.queues for worker in await self._workers.list()):
            message = "No live gpu worker has loaded the re-ranking model. If one is there, its log says why."
            raise Unavailable(message)
