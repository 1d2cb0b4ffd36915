"""A Redis Cluster whose slots move and whose nodes die."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, aclosing
from pathlib import Path
from typing import Any

import pytest
from redis.crc import key_slot

from core.errors import Unavailable
from core.events import EventLog
from core.redis.client import Redis, Scripts, connect
from tests import servers
from tests.polling import until
from tests.servers import RedisServer

NOTE = "redis.call('ZADD', KEYS[1], 'NX', redis.call('ZCARD', KEYS[1]), ARGV[1]); return ARGV[1]"
BOTH = "redis.call('SET', KEYS[1], ARGV[1]); redis.call('SET', KEYS[2], ARGV[1]); return ARGV[1]"
TAG = "{tag}"
SLOT = key_slot(TAG.encode())


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[RedisServer]]:
    """A cluster that these tests may harm."""
    with servers.redis_cluster(tmp_path_factory.mktemp("harmed")) as found:
        yield found


@pytest.fixture
async def client(nodes: list[RedisServer]) -> AsyncIterator[Redis]:
    servers.wait_for_cluster(nodes)
    for node in nodes:
        node.client.flushall()
    redis = connect(",".join((nodes[0].url, *(node.url.removeprefix("redis://") for node in nodes[1:]))))
    yield redis
    await redis.aclose()


def cluster(node: RedisServer, *words: str | int) -> Any:
    return node.client.execute_command("CLUSTER", *words)


def owner_and_other(nodes: list[RedisServer]) -> tuple[RedisServer, RedisServer]:
    """The owner of SLOT, and the node that it is to move to."""
    (port,) = {port for first, last, (_, port, *_), *_ in cluster(nodes[0], "SLOTS") if first <= SLOT <= last}
    owner = next(node for node in nodes if node.port == port)
    return owner, next(node for node in nodes if node is not owner)


class Move:
    """A slot on its way from its owner to another node, step by step."""

    def __init__(self, nodes: list[RedisServer]) -> None:
        self.nodes = nodes
        self.source, self.target = owner_and_other(nodes)
        self.source_id, self.target_id = (cluster(node, "MYID").decode() for node in (self.source, self.target))

    def begin(self) -> None:
        cluster(self.target, "SETSLOT", SLOT, "IMPORTING", self.source_id)
        cluster(self.source, "SETSLOT", SLOT, "MIGRATING", self.target_id)

    def carry(self, *keys: bytes) -> None:
        if keys:
            self.source.client.execute_command("MIGRATE", "127.0.0.1", self.target.port, "", 0, 5000, "KEYS", *keys)

    def carry_all(self) -> None:
        while keys := cluster(self.source, "GETKEYSINSLOT", SLOT, 100):
            self.carry(*keys)

    def end(self) -> None:
        for node in (self.target, self.source, *self.nodes):
            cluster(node, "SETSLOT", SLOT, "NODE", self.target_id)


async def test_a_slot_that_moves_while_calls_run_loses_none_of_them_and_no_order(nodes: list[RedisServer], client: Redis) -> None:
    scripts, keys, moved = Scripts(client), [f"{TAG}:{number}" for number in range(20)], asyncio.Event()
    note = scripts.register(NOTE)

    async def write(key: str) -> list[bytes]:
        answers: list[bytes] = []
        while not moved.is_set() or len(answers) < 100:
            first = len(answers)
            answers += await asyncio.gather(*(scripts.run(note, (key,), (number,)) for number in range(first, first + 5)))
        return answers

    async def move() -> None:
        for _ in range(3):
            slot = Move(nodes)
            for step in (slot.begin, slot.carry_all, slot.end):
                await asyncio.to_thread(step)
                await asyncio.gather(*(scripts.command("ZCARD", key) for key in keys))
        moved.set()

    answers, _ = await asyncio.gather(asyncio.gather(*(write(key) for key in keys)), move())
    for key, got in zip(keys, answers, strict=True):
        assert got == [str(number).encode() for number in range(len(got))] == await scripts.command("ZRANGE", key, 0, -1)


async def test_keys_that_have_left_and_keys_that_have_not_are_found_in_the_middle_of_a_move(
    nodes: list[RedisServer], client: Redis
) -> None:
    scripts = Scripts(client)
    await scripts.command("SET", f"{TAG}:here", 1)
    await scripts.command("SET", f"{TAG}:gone", 2)
    slot = Move(nodes)
    slot.begin()
    slot.carry(f"{TAG}:gone".encode())
    asked = [await scripts.command("GET", f"{TAG}:{name}") for name in ("here", "gone", "new")]
    await scripts.command("SET", f"{TAG}:new", 3)
    slot.carry_all()
    slot.end()
    assert (asked, await scripts.command("GET", f"{TAG}:new")) == ([b"1", b"2", None], b"3")


async def test_a_call_of_keys_that_are_parted_waits_until_they_are_together(nodes: list[RedisServer], client: Redis) -> None:
    scripts = Scripts(client)
    both, keys = scripts.register(BOTH), (f"{TAG}:one", f"{TAG}:two")
    await scripts.run(both, keys, ("old",))
    slot = Move(nodes)
    slot.begin()
    slot.carry(keys[0].encode())
    waiting = scripts.ask(both, keys, ("new",))
    await until(lambda: SLOT in scripts._held and scripts._held[SLOT].error, "it was refused")
    slot.carry_all()
    slot.end()
    assert await waiting == b"new"
    assert [await scripts.command("GET", key) for key in keys] == [b"new", b"new"]


async def test_one_without_patience_is_told_that_its_keys_are_parted(nodes: list[RedisServer], client: Redis) -> None:
    scripts = Scripts(client, patience_s=0)
    both, keys = scripts.register(BOTH), (f"{TAG}:one", f"{TAG}:two")
    await scripts.run(both, keys, ("old",))
    slot = Move(nodes)
    slot.begin()
    slot.carry(keys[0].encode())
    with pytest.raises(Unavailable, match="moving"):
        await scripts.run(both, keys, ("new",))
    slot.carry_all()
    slot.end()
    assert await scripts.run(both, keys, ("new",)) == b"new"


async def test_a_node_that_dies_and_comes_back_is_a_pause(nodes: list[RedisServer], client: Redis) -> None:
    scripts, keys, back = Scripts(client), [f"key:{number}" for number in range(60)], asyncio.Event()
    note = scripts.register(NOTE)

    async def write(key: str) -> list[bytes]:
        answers: list[bytes] = []
        while not back.is_set() or len(answers) < 50:
            first = len(answers)
            answers += await asyncio.gather(*(scripts.run(note, (key,), (number,)) for number in range(first, first + 5)))
        return answers

    async def restart() -> None:
        for node in nodes[:2]:
            await asyncio.to_thread(node.kill)
            node.start()  # by this thread, with whose end it would end
            await asyncio.gather(*(scripts.command("ZCARD", key) for key in keys))
        back.set()

    answers, _ = await asyncio.gather(asyncio.gather(*(write(key) for key in keys)), restart())
    for key, got in zip(keys, answers, strict=True):
        assert got == [str(number).encode() for number in range(len(got))] == await scripts.command("ZRANGE", key, 0, -1)


async def test_a_process_starts_and_hears_while_the_first_node_of_its_url_is_away(nodes: list[RedisServer], client: Redis) -> None:
    scripts, log = Scripts(client), EventLog(client)
    await asyncio.to_thread(nodes[0].kill)
    await log.start()
    assert await scripts.command("PING") == b"PONG"
    await until(lambda: log._wire, "it listens to another node")
    ear = log.hear("topic")
    await anext(ear)
    await log.notify("topic", b"news")
    assert await anext(ear) == b"news"
    await ear.aclose()
    await log.close()
    nodes[0].start()


async def test_a_node_that_stays_away_is_said_to_be_and_so_are_the_slots_that_nobody_serves(
    nodes: list[RedisServer], client: Redis
) -> None:
    owner, _ = owner_and_other(nodes)
    scripts = Scripts(client, patience_s=0)
    keys = [f"key:{number}" for number in range(60)]
    await asyncio.gather(*(scripts.command("GET", key) for key in keys))
    elsewhere = next(key for key in keys if client.nodes.owner(client.nodes.slot(key)) != ("127.0.0.1", owner.port))
    await asyncio.to_thread(owner.kill)
    with pytest.raises(Unavailable, match="cannot be reached"):
        await scripts.command("GET", TAG)

    def noticed() -> bool:
        return all("cluster_state:fail" in str(cluster(node, "INFO")) for node in nodes if node is not owner)

    await until(noticed, "the others have noticed")
    with pytest.raises(Unavailable, match="CLUSTER INFO"):
        await scripts.command("GET", elsewhere)
    owner.start()
    assert await asyncio.gather(*(Scripts(client).command("GET", key) for key in (TAG, elsewhere))) == [None, None]


async def test_a_replica_that_takes_over_is_a_pause(tmp_path: Path) -> None:
    with servers.redis_cluster(tmp_path) as nodes, ExitStack() as stack:
        owner, other = owner_and_other(nodes)
        replica = servers.cluster_node(tmp_path / "replica")
        stack.callback(replica.kill)
        replica.start()
        servers.meet(owner, replica)
        servers.wait_for_cluster([*nodes, replica])
        cluster(replica, "REPLICATE", cluster(owner, "MYID").decode())
        async with aclosing(connect(other.url)) as redis:
            scripts = Scripts(redis, patience_s=60)
            note = scripts.register(NOTE)
            first = [await scripts.run(note, (TAG,), (number,)) for number in range(3)]
            await until(lambda: _has_all(replica, owner), "the replica has it all")
            await asyncio.to_thread(owner.kill)
            last = await asyncio.gather(*(scripts.run(note, (TAG,), (number,)) for number in range(3, 6)))
            assert [*first, *last] == [b"0", b"1", b"2", b"3", b"4", b"5"] == await scripts.command("ZRANGE", TAG, 0, -1)
            assert redis.nodes.owner(SLOT) == ("127.0.0.1", replica.port)


def _has_all(replica: RedisServer, owner: RedisServer) -> bool:
    there, here = replica.client.info("replication"), owner.client.info("replication")
    return bool(there["master_link_status"] == "up" and there["slave_repl_offset"] == here["master_repl_offset"])
