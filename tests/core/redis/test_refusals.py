"""What those are told whom Redis refuses."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from redis import Redis
from redis._parsers.base import BaseParser

from core.errors import Unavailable
from core.redis.client import Scripts, connect
from core.redis.refusals import explain_absence, explain_refusal, refused_by_node, refused_for_slot
from tests.polling import until
from tests.servers import RedisServer

WRITE = "return redis.call('SET', KEYS[1], ARGV[1])"
CAUGHT = "local answer = redis.pcall('SET', KEYS[1], ARGV[1]); if answer.err then return answer end return 'written'"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis that a test may bring into any state."""
    folder = tmp_path / "redis"
    folder.mkdir()
    one = RedisServer(folder, "--appendonly", "no", "--enable-debug-command", "yes", "--loading-process-events-interval-bytes", "1024")
    one.start()
    yield one
    one.kill()


@pytest.fixture
async def scripts(server: RedisServer) -> AsyncIterator[Scripts]:
    redis = connect(server.url)
    yield Scripts(redis, patience_s=0)
    await redis.aclose()


async def refused(scripts: Scripts, words: str) -> None:
    """A write fails so, by itself and in a script that lets the error be or hands it on; what reads is answered."""
    write, caught = scripts.register(WRITE), scripts.register(CAUGHT)
    for call in (scripts.command("SET", "key", 1), scripts.run(write, ("key",), (1,)), scripts.run(caught, ("key",), (1,))):
        with pytest.raises(Unavailable, match=words):
            await call
    assert await scripts.command("GET", "key") is None


async def test_without_memory_writes_are_refused_with_what_to_do(server: RedisServer, scripts: Scripts) -> None:
    server.client.config_set("maxmemory", "1mb")
    await refused(scripts, "out of memory. Raise its maxmemory")
    server.client.config_set("maxmemory", "0")
    assert await scripts.command("SET", "key", 1) == b"OK"


async def test_without_a_disk_writes_are_refused_with_what_to_do(server: RedisServer, scripts: Scripts, tmp_path: Path) -> None:
    server.client.config_set("save", "3600 1")
    shutil.rmtree(tmp_path / "redis")
    server.client.bgsave()
    await until(lambda: server.client.info("persistence")["rdb_last_bgsave_status"] == "err", "it could not save")
    await refused(scripts, "cannot write to its disk")


async def test_without_replicas_that_it_needs_writes_are_refused_with_what_to_do(server: RedisServer, scripts: Scripts) -> None:
    server.client.config_set("min-replicas-to-write", 1)
    await refused(scripts, "fewer replicas than its min-replicas-to-write")


async def test_a_replica_is_asked_again_until_it_is_the_primary(server: RedisServer, scripts: Scripts) -> None:
    await scripts.command("PING")
    server.client.replicaof("127.0.0.1", server.port)
    await refused(scripts, "is a replica")
    redis = connect(server.url)
    waiting = Scripts(redis)
    write = waiting.register(WRITE)
    call = waiting.ask(write, ("key",), (1,))
    await until(lambda: any(held.error for held in waiting._held.values()), "it was refused")
    server.client.replicaof("NO", "ONE")
    assert await call == b"OK"
    await redis.aclose()


async def test_a_redis_that_is_reading_its_data_is_waited_for(server: RedisServer, scripts: Scripts) -> None:
    server.client.mset({f"key:{number}": number for number in range(5000)})
    server.client.config_set("key-load-delay", 200)
    with closing(Redis(port=server.port)) as other:
        reload = asyncio.create_task(asyncio.to_thread(other.execute_command, "DEBUG", "RELOAD"))
        await until(lambda: server.client.info("persistence")["loading"], "it reads")
        with pytest.raises(Unavailable, match="still reading its data"):
            await scripts.command("GET", "key:1")
        redis = connect(server.url)
        assert await Scripts(redis).command("GET", "key:1") == b"1"
        await redis.aclose()
        await reload


def parse(text: str) -> Exception:
    """An error as redis-py makes it of what Redis says."""
    found: Exception = BaseParser.parse_error(text)
    return found


@pytest.mark.parametrize(
    ("said", "advice"),
    [
        ("OOM command not allowed when used memory > 'maxmemory'. script: 1, on @user_script:1.", "Raise its maxmemory"),
        ("ERR Error running script (call to f_1): @user_script:1: @user_script: 1: -OOM command not allowed when used memory", "maxmemory"),
        ("ERR Error running script (call to f_1): @user_script:1: @user_script: 1: -MISCONF Redis is configured to save", "its disk"),
        ("NOREPLICAS Not enough good replicas to write.", "min-replicas-to-write"),
        ("NOPERM this user has no permissions to run the 'get' command", "ACL SETUSER"),
    ],
)
def test_what_waiting_does_not_mend_is_told_at_once_however_redis_says_it(said: str, advice: str) -> None:
    told = explain_refusal(parse(said))
    assert isinstance(told, Unavailable)
    assert advice in told.detail


@pytest.mark.parametrize(
    ("said", "of_node", "advice"),
    [
        ("LOADING Redis is loading the dataset in memory", True, "reading its data"),
        ("READONLY You can't write against a read only replica. script: 1, on @user_script:1.", True, "name its primary"),
        ("BUSY Redis is busy running a script.", True, "SCRIPT KILL"),
        ("MASTERDOWN Link with MASTER is down", True, "Bring it back"),
        ("NOAUTH Authentication required.", True, "the password"),
        ("MOVED 1 127.0.0.1:6379", False, "CLUSTER SLOTS"),
        ("TRYAGAIN Multiple keys request during rehashing of slot", False, "moving"),
        ("CLUSTERDOWN The cluster is down", False, "CLUSTER INFO"),
    ],
)
def test_what_passes_is_tried_again_and_told_in_the_end(said: str, of_node: bool, advice: str) -> None:  # noqa: FBT001 - a table
    error = parse(said)
    assert (refused_by_node(error), refused_for_slot(error)) == (of_node, not of_node)
    assert explain_refusal(error) is error
    assert advice in explain_absence(error).detail


@pytest.mark.parametrize("said", ["WRONGTYPE Operation against a key holding the wrong kind of value", "ERR value is not an integer", "no"])
def test_a_mistake_of_the_caller_stays_what_it_is(said: str) -> None:
    error = parse(said)
    assert (refused_by_node(error), refused_for_slot(error), explain_refusal(error)) == (False, False, error)
