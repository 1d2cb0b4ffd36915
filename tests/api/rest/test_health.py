import os
import time
from typing import Any

import msgspec
import pytest

from api.rest.health import needed_pools
from core.models.pools import Pool, Worker
from core.settings import Settings
from tests.api.conftest import Client
from tests.serving_models import WORKER

GPU = Worker(
    id="w", pool=Pool.GPU, host="h", pid=os.getpid(), device="cpu", memory_bytes=1, models=("echo",), running=0, started_at=int(time.time())
)
CPU = msgspec.structs.replace(GPU, id="c", pool=Pool.CPU, models=())


async def test_health_needs_nothing(visitor: Client) -> None:
    reply = await visitor.get("/health")
    assert (reply.status, reply.body) == (200, {"status": True})
    async with visitor.session.head(visitor.url + "/health") as response:
        assert response.status == 200


async def test_ready_names_the_pool_that_has_no_worker(visitor: Client, services: Any) -> None:
    await services.workers.forget(WORKER)
    await services.workers.report(CPU)
    reply = await visitor.get("/ready")
    assert reply.status == 503
    assert reply.body["detail"] == "Not ready: a live gpu worker cannot be reached."
    await services.workers.report(GPU)
    reply = await visitor.get("/ready")
    assert (reply.status, reply.body) == (200, {"status": "ready", "redis": True, "store": True, "workers": {"gpu": True, "cpu": True}})


async def test_ready_names_the_store_that_does_not_answer(visitor: Client, services: Any) -> None:
    await services.workers.report(GPU)
    await services.records.close()
    reply = await visitor.get("/ready")
    assert (reply.status, reply.body["store"]) == (503, False)
    assert "document store" in reply.body["detail"]


@pytest.mark.parametrize(
    ("changes", "pools"),
    [
        ({}, [Pool.GPU, Pool.CPU]),
        ({"openai_base_urls": ("http://x/v1",)}, [Pool.RELAY, Pool.CPU]),
        ({"ollama_base_urls": ("http://x",), "local_models": ("m",)}, [Pool.RELAY, Pool.GPU, Pool.CPU]),
    ],
)
def test_the_pools_that_are_needed_follow_from_what_is_configured(changes: dict[str, Any], pools: list[Pool]) -> None:
    assert needed_pools(msgspec.structs.replace(Settings(), **changes)) == pools
