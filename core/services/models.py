"""The catalogue of models.

Workers publish what they can answer for; it outlives a worker's death by STALE_S, so that a restart takes no model
away.
"""

import time
from collections.abc import Sequence

import msgspec

from core.errors import ModelNotFound, Unavailable
from core.models.catalog import Model
from core.models.pools import Pool
from core.models.users import Principal
from core.storage.redis import Scripts

STALE_S = 600
REPUBLISH_S = 60
CACHE_S = 1.0
_KEY = "models"
_PREFERENCE = {Pool.RELAY: 0, Pool.GPU: 1, Pool.CPU: 2}


class _Published(msgspec.Struct, frozen=True, kw_only=True):
    seen_at: float
    models: tuple[Model, ...]


class Models:
    """Models as every face lists and resolves them."""

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts
        self._cached: dict[str, Model] = {}
        self._cached_until = 0.0

    async def publish(self, source: str, models: Sequence[Model]) -> None:
        """A worker pool's part of the catalogue, whole; ``source`` names who answers for it (two workers of one kind share a name)."""
        await self._scripts.command("HSET", _KEY, source, msgspec.json.encode(_Published(seen_at=time.time(), models=tuple(models))))

    async def list(self, principal: Principal) -> list[Model]:
        """Every model that a principal may use."""
        del principal  # every signed-in user may use every model so far
        return list((await self._catalogue()).values())

    async def get(self, principal: Principal, model_id: str) -> Model:
        """One model. Raises ModelNotFound, naming some that exist."""
        del principal
        model = (await self._catalogue()).get(model_id) or (await self._catalogue(fresh=True)).get(model_id)
        if model is None:
            known = ", ".join(sorted(self._cached)[:5]) or "none yet: is a worker running?"
            message = f"The model {model_id!r} does not exist here. Models: {known}."
            raise ModelNotFound(message, param="model")
        return model

    async def default(self, principal: Principal) -> Model:
        """The model for a chat that names none: an upstream's first, else the local one. Raises Unavailable where there is none."""
        models = await self.list(principal) or list((await self._catalogue(fresh=True)).values())
        if not models:
            message = "No model is served yet. Start a worker (penstock worker gpu), or wait until it has loaded its model."
            raise Unavailable(message, retry_after=5)
        return models[0]

    async def _catalogue(self, *, fresh: bool = False) -> dict[str, Model]:
        now = time.monotonic()
        if fresh or now >= self._cached_until:
            stored = await self._scripts.command("HVALS", _KEY)
            published = (msgspec.json.decode(part, type=_Published) for part in stored)
            alive = [model for part in published if time.time() - part.seen_at < STALE_S for model in part.models]
            alive.sort(key=lambda model: (_PREFERENCE.get(Pool(model.pool), 9), model.id))
            self._cached = {}
            for model in alive:
                self._cached.setdefault(model.id, model)
            self._cached_until = now + CACHE_S
        return self._cached
