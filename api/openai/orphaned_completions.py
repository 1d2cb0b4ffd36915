"""Plain completions whose clients went away. They may come back and resume; an answer that nobody listens to after a while is stopped."""

import asyncio

from core.errors import PenstockError
from core.logging import get_logger
from core.models.users import Principal
from core.redis.keys import events_key
from core.services import Services

GRACE_S = 10.0

log = get_logger(face="rest")


class OrphanedCompletions:
    """The answers that this process watches.

    Whether anybody listens, on any process, Redis knows: a log has a channel, and its listeners subscribe to it.
    """

    def __init__(self, services: Services, *, grace_s: float = GRACE_S) -> None:
        self._services = services
        self._grace_s = grace_s
        self._watches: set[asyncio.Task[None]] = set()

    def watch(self, principal: Principal, generation_id: str) -> None:
        """Stop an answer unless somebody listens to it again."""
        task = asyncio.create_task(self._watch(principal, generation_id))
        self._watches.add(task)
        task.add_done_callback(self._watches.discard)

    async def close(self) -> None:
        """Watch no more: what is being made goes on, so that it can be resumed."""
        for task in list(self._watches):
            task.cancel()
        await asyncio.gather(*self._watches, return_exceptions=True)

    async def _watch(self, principal: Principal, generation_id: str) -> None:
        try:
            await asyncio.sleep(self._grace_s)
            while await self._heard(generation_id):  # noqa: ASYNC110 - Redis tells nobody when a subscriber leaves
                await asyncio.sleep(self._grace_s)
            await self._services.generations.stop(principal, generation_id)
        except PenstockError as error:
            log.warning("not stopped", generation=generation_id, why=error.detail)

    async def _heard(self, generation_id: str) -> bool:
        return await self._services.scripts.count_subscribers(events_key(generation_id)) > 0
