"""Models that a test says are served: published, and had by a worker in the registry that lives for as long as the test."""

import time
from collections.abc import Iterable

from core.jobs import KINDS, RERANK, queues_of
from core.models.catalog import Model
from core.models.pools import Pool, Worker
from core.services import Services

WORKER = "by-hand"
LASTS_MS = 3_600_000


async def serve_models(services: Services, *models: Model, worker_id: str = WORKER) -> None:
    """Let a worker have these models, which are of one pool, and no others. What they are asked for is the test's to answer."""
    (pool,) = {Pool(model.pool) for model in models} or {Pool.GPU}
    await report_worker(services, worker_id, pool, (model.id for model in models))
    await services.catalogue.publish(worker_id, models)
    await services.catalogue.refresh()  # the server may have looked a moment ago, and does so once a second


async def report_worker(services: Services, worker_id: str, pool: Pool, models: Iterable[str] = ()) -> None:
    """Let a worker stand in the registry. It has no re-ranker."""
    names = tuple(models)
    worker = Worker(
        id=worker_id,
        pool=pool,
        host="here",
        pid=1,
        device="cpu",
        memory_bytes=0,
        models=names,
        running=0,
        started_at=int(time.time()),
        queues=tuple(queue for name, kind in KINDS.items() if kind.pool is pool and name != RERANK for queue in queues_of(name, names)),
    )
    await services.workers.report(worker, LASTS_MS)
