"""A worker does no more at a time than it has places for, whatever happened."""

import asyncio

import pytest

from core.jobs import GENERATE, KINDS
from core.models.pools import Pool
from tests.polling import until
from tests.stack import Stack
from tests.survival.conftest import User
from tests.survival.relayed import WHOLE, Stream
from tests.upstream import Upstream

pytestmark = pytest.mark.timeout(110)

PLACES = KINDS[GENERATE[Pool.RELAY]].places
REQUESTS = 300
REDIS_AWAY_S = 3


async def test_after_an_outage_of_redis_no_more_is_asked_of_an_upstream_at_once(relays: Stack, reader: User, upstream: Upstream) -> None:
    await relays.start_worker("relay")
    streams = [Stream(reader) for _ in range(REQUESTS)]
    await until(lambda: upstream.most == PLACES, "all places are taken", timeout_s=30)
    await relays.running[0].kill()
    await asyncio.sleep(REDIS_AWAY_S)
    await relays.start_redis()
    await asyncio.gather(*(stream.task for stream in streams))
    assert [stream.text for stream in streams] == [WHOLE] * REQUESTS
    assert upstream.most == PLACES
