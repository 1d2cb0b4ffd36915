"""What every web process does beside its requests, so that no job is left lying: each duty may be done by several at once."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from core.errors import PenstockError
from core.jobs.adoption import Adoption
from core.jobs.batches import Batches
from core.jobs.reaper import LOOK_S, Reaper
from core.jobs.unserved import Unserved
from core.logging import get_logger
from core.redis.client import Scripts
from core.services.knowledge.upkeep import KnowledgeUpkeep
from core.services.models.catalogue import Catalogue
from core.services.reconciliation import Reconciliation

UNSERVED_S = 1.0
RECONCILE_S = 10.0
_RECONCILING = "reconciling"

log = get_logger(face="core")


class Upkeep:
    """``open`` begins, ``close`` ends."""

    def __init__(  # noqa: PLR0913 - each by its name, where services are wired
        self,
        *,
        scripts: Scripts,
        reaper: Reaper,
        batches: Batches,
        unserved: Unserved,
        adoption: Adoption,
        reconciliation: Reconciliation,
        knowledge_upkeep: KnowledgeUpkeep,
        catalogue: Catalogue,
    ) -> None:
        self._scripts = scripts
        self._reaper = reaper
        self._batches = batches
        self._unserved = unserved
        self._adoption = adoption
        self._reconciliation = reconciliation
        self._knowledge_upkeep = knowledge_upkeep
        self._catalogue = catalogue
        self._duties: list[asyncio.Task[None]] = []

    def open(self) -> None:
        """On the event loop."""
        duties = ((self._reap, LOOK_S), (self._end_unserved, UNSERVED_S), (self._reconcile, RECONCILE_S))
        self._duties = [asyncio.create_task(_now_and_then(duty, pause_s)) for duty, pause_s in duties]

    async def close(self) -> None:
        """What a duty is doing is left to the next process."""
        left = set(self._duties)
        while left:
            for duty in left:
                duty.cancel()  # more than once: redis-py loses one that comes while it connects
            _, left = await asyncio.wait(left, timeout=0.1)

    async def _reap(self) -> None:
        for job_id in await self._reaper.reap():
            log.warning("taken over", job_id=job_id)

    async def _end_unserved(self) -> None:
        await self._catalogue.refresh()
        if ended := await self._unserved.look():
            log.warning("nobody serves", jobs=len(ended))
            await self._end_lost()

    async def _reconcile(self) -> None:
        """By one process at a time; and what was submitted by half, or lost by a batch."""
        if await self._scripts.command("SET", _RECONCILING, 1, "NX", "PX", int(RECONCILE_S * 900)):
            await self._reaper.complete_submissions()
            await self._batches.mend()
            if ended := await self._end_lost():
                log.warning("reconciled", jobs=len(ended))
            await self._knowledge_upkeep.begin_lost()
            await self._knowledge_upkeep.clean()

    async def _end_lost(self) -> list[str]:
        """What the build before has left is not lost."""
        return await self._reconciliation.run() if await self._adoption.run() else []


async def _now_and_then(duty: Callable[[], Awaitable[None]], pause_s: float) -> None:
    """It must outlive a Redis or a store that is away, and any bug of one turn."""
    while True:
        try:
            with suppress(PenstockError):  # away: whoever asks for something is told
                await duty()
        except Exception:
            log.exception("unhandled error")
        await asyncio.sleep(pause_s)
