"""Scripts over one Redis, and over a cluster."""

from collections.abc import AsyncIterator

import pytest

from core.redis.client import Redis, Scripts, connect


@pytest.fixture(params=["one", "cluster"])
async def any_redis(request: pytest.FixtureRequest) -> AsyncIterator[Redis]:
    redis = connect(request.getfixturevalue("redis_url" if request.param == "one" else "redis_cluster_url"))
    yield redis
    await redis.aclose()


@pytest.fixture
def scripts(any_redis: Redis) -> Scripts:
    return Scripts(any_redis)
