"""The catalogue of served models: what workers can answer for.

Workers publish their part; what counts is whether a live worker has it. A model that was served lately is known for STALE_S more: who asks
for it is told that nobody serves it now, or waits, and not that it does not exist.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence

import msgspec

from core.events import EventLog
from core.jobs.unserved import nobody_serves
from core.models.catalog import Model, Task
from core.models.pools import Pool
from core.redis.client import Scripts
from core.redis.workers import WorkerRegistry

STALE_S = 600
LATELY_S = 15.0
CACHE_S = 1.0
LOOK_TOPIC = "models:look"
LOOK_EVERY_S = 5
_KEY = "models"
_LOOKED_KEY = "models:looked"
_PREFERENCE = {Pool.RELAY: 0, Pool.GPU: 1, Pool.CPU: 2}


class _Published(msgspec.Struct, frozen=True, kw_only=True):
    seen_at: float
    models: tuple[Model, ...]


class Catalogue:
    """Kept for CACHE_S in each process."""

    def __init__(self, scripts: Scripts, events: EventLog, workers: WorkerRegistry) -> None:
        self._scripts = scripts
        self._events = events
        self._workers = workers
        self._cached: dict[str, Model] = {}
        self._cached_until = 0.0
        self._known: dict[str, Model] = {}
        self._served_at: dict[str, float] = {}

    async def publish(self, source: str, models: Sequence[Model]) -> None:
        """A worker pool's part, whole; ``source`` names who answers for it (two workers of one kind share a name)."""
        await self._scripts.command("HSET", _KEY, source, msgspec.json.encode(_Published(seen_at=time.time(), models=tuple(models))))

    async def look_again(self) -> None:
        """Have workers look now which models they can answer for, but not more often than every LOOK_EVERY_S. Waits for nobody."""
        if await self._scripts.command("SET", _LOOKED_KEY, 1, "NX", "EX", LOOK_EVERY_S):
            await self._events.notify(LOOK_TOPIC, b"")

    async def refresh(self) -> None:
        """Look, so that it is known since when nobody serves a model; whoever asks next looks again."""
        await self.served(fresh=True)
        self._cached_until = 0.0

    async def served(self, *, fresh: bool = False) -> Mapping[str, Model]:
        """What live workers serve, those for chat first."""
        now = time.monotonic()
        if fresh or now >= self._cached_until:
            stored, workers = await asyncio.gather(self._scripts.command("HVALS", _KEY), self._workers.list())
            live = {(worker.pool, name) for worker in workers for name in worker.models}
            found = []
            for part in (msgspec.json.decode(part, type=_Published) for part in stored):
                recent = time.time() - part.seen_at < STALE_S  # by another host's clock: it says nothing of what is live
                found += [model for model in part.models if recent or (Pool(model.pool), model.id) in live]
            found.sort(key=lambda model: (Task.CHAT not in model.tasks, _PREFERENCE.get(Pool(model.pool), 9), model.id))
            self._known = {model.id: model for model in reversed(found)}
            self._cached = {}
            for model in found:
                if (Pool(model.pool), model.id) in live:
                    self._cached.setdefault(model.id, model)
            self._served_at = {name: at for name, at in self._served_at.items() if name in self._known} | dict.fromkeys(self._cached, now)
            self._cached_until = now + CACHE_S
        return self._cached

    async def find(self, model_id: str) -> Model | None:
        """One that is served now, or was until a moment ago: then its worker is probably being started again.

        Raises Unavailable for one that nobody has served for longer.
        """
        model = (await self.served()).get(model_id) or (await self.served(fresh=True)).get(model_id)
        known = self._known.get(model_id)
        if model is None and known and time.monotonic() - self._served_at.get(model_id, -LATELY_S) >= LATELY_S:
            raise nobody_serves(Pool(known.pool), model_id)
        return model or known

    def known(self) -> Mapping[str, Model]:
        """What was served when somebody last looked, a second ago at most."""
        return self._cached
