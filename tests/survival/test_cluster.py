"""Real processes over a Redis Cluster of three: answers go on whichever of its nodes, or of our processes, is killed."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from redis.crc import key_slot

from core.redis.keys import job_key
from tests import servers
from tests.polling import until
from tests.servers import RedisServer
from tests.stack import Stack
from tests.survival.conftest import RELAYED, User, signed_up
from tests.survival.counted import COUNTED, begun_answer, start_counting
from tests.survival.readers import Reading, Room, read_graphql, read_sse
from tests.survival.relayed import WHOLE, disturbed_streams
from tests.upstream import Upstream
from tests.workers.counting import MODEL

pytestmark = pytest.mark.timeout(110)

STREAMS = 16


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[RedisServer]]:
    """A cluster that these tests may harm; what it has answered is on its disk (``Stack.start_redis``)."""
    with servers.redis_cluster(tmp_path_factory.mktemp("cluster"), "--appendfsync", "always") as found:
        yield found


@pytest.fixture
async def stack(tmp_path: Path, nodes: list[RedisServer], upstream: Upstream) -> AsyncIterator[Stack]:
    """A web process; workers are for the test to start."""
    servers.wait_for_cluster(nodes)
    for node in nodes:
        node.client.flushall()
    (tmp_path / "data").mkdir()
    url = ",".join((nodes[0].url, *(node.url.removeprefix("redis://") for node in nodes[1:])))
    stack = Stack(tmp_path, redis_url=url, rate_limit_per_minute=100_000, openai_base_urls=upstream.url)
    try:
        await stack.start_api()
        yield stack
    finally:
        await stack.close()


@pytest.fixture
async def user(stack: Stack) -> AsyncIterator[User]:
    async with signed_up(stack) as user:
        yield user


def owner(nodes: list[RedisServer], key: str) -> RedisServer:
    """The node that has a key."""
    slot = key_slot(key.encode())
    ranges = nodes[0].client.execute_command("CLUSTER", "SLOTS")
    (port,) = {port for first, last, (_, port, *_), *_ in ranges if first <= slot <= last}
    return next(node for node in nodes if node.port == port)


async def restart(node: RedisServer, nodes: list[RedisServer]) -> None:
    """Kill it and start it again."""
    node.kill()
    node.start()  # on this thread: it is gone when the one is that started it
    await asyncio.to_thread(servers.wait_for_cluster, nodes)


async def test_an_answer_is_heard_on_every_face_and_taken_over_from_a_worker_that_is_killed(stack: Stack, user: User) -> None:
    first = await start_counting(stack, MODEL)
    chat_id, generation_id, reading, reads = await begun_answer(user)
    room = Room(stack.url, user.token, chat_id)
    await room.join()
    graphql = asyncio.create_task(read_graphql(stack.url, user.token, generation_id))
    await start_counting(stack, MODEL)
    await first.kill()
    await asyncio.gather(reads, graphql)
    assert (reading.end, reading.text, reading.continued) == ("finished", COUNTED, ["exact"])
    assert graphql.result().text == await user.text(chat_id) == COUNTED
    await until(room.complete, "the room hears the whole answer")
    assert room.answer()[1] == COUNTED
    await room.client.disconnect()


@pytest.mark.parametrize("key", ["job", "{workers}", "dramatiq:{relay.generate.dripping}"])
async def test_a_node_that_is_killed_and_started_again_costs_no_answer(
    stack: Stack, user: User, nodes: list[RedisServer], key: str
) -> None:
    """The one that has a job and its log, the one with the registry of workers, and the one with their queue."""
    await asyncio.gather(stack.start_worker("relay"), stack.start_worker("relay"))
    chat_id, generation_id = await user.ask_model(RELAYED, "hi")
    reading = Reading()
    reads = asyncio.create_task(read_sse(stack.url, user.token, generation_id, reading))
    await until(lambda: reading.text, "the answer has begun")

    async def disturb() -> None:
        assert not reading.end, "the answer was too short to be disturbed"
        await restart(owner(nodes, job_key(generation_id) if key == "job" else key), nodes)

    assert await disturbed_streams(user, STREAMS, disturb) == [WHOLE] * STREAMS
    await reads
    assert (reading.end, reading.text, await user.text(chat_id)) == ("finished", WHOLE, WHOLE)
    assert len(await stack.workers()) == 2
