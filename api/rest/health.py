"""Whether the process lives, and whether the product can do its work."""

import asyncio
from collections.abc import Awaitable
from typing import Literal

import msgspec
from aiohttp import web

from api.http.json import json_response
from api.http.keys import SERVICES
from core.models.pools import Pool
from core.services import Services
from core.settings import Settings

CHECK_TIMEOUT_S = 2.0


class HealthResponse(msgspec.Struct, frozen=True, kw_only=True):
    """The process answers."""

    status: bool = True


class Readiness(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What can be reached; ``workers``: each needed pool, and whether it has a live worker. ``detail``: what is wanting."""

    status: Literal["ready", "not ready"]
    redis: bool
    store: bool
    workers: dict[Pool, bool]
    detail: str = ""


async def alive(request: web.Request) -> web.Response:
    """``GET /health``: whether this process answers."""
    del request
    return json_response(HealthResponse())


async def ready(request: web.Request) -> web.Response:
    """``GET /ready``: whether the product can do its work. 503 with every condition that fails."""
    services = request.app[SERVICES]
    redis, store = await asyncio.gather(_works(services.scripts.command("PING")), _works(services.records.ping()))
    workers = await _living(services) if redis else set()
    needed = needed_pools(services.settings)
    wanting = [name for name, well in (("Redis", redis), ("the document store", store)) if not well]
    wanting += [f"a live {pool} worker" for pool in needed if pool not in workers]
    found = Readiness(status="ready", redis=redis, store=store, workers={pool: pool in workers for pool in needed})
    if not wanting:
        return json_response(found)
    detail = f"Not ready: {', '.join(wanting)} cannot be reached."
    return json_response(msgspec.structs.replace(found, status="not ready", detail=detail), status=503)


def needed_pools(settings: Settings) -> list[Pool]:
    """Pools without which something configured cannot be answered. Local models, the starter model among them, are the GPU pool's."""
    upstreams = bool(settings.openai_base_urls or settings.ollama_base_urls)
    wanted = {Pool.RELAY: upstreams, Pool.GPU: bool(settings.local_models) or not upstreams, Pool.CPU: True}
    return [pool for pool, needed in wanted.items() if needed]


async def _living(services: Services) -> set[Pool]:
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            return {worker.pool for worker in await services.workers.list()}
    except Exception:  # noqa: BLE001 - whatever it is, no worker was found
        return set()


async def _works(check: Awaitable[object]) -> bool:
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            await check
    except Exception:  # noqa: BLE001 - whatever it is, it does not work
        return False
    return True
