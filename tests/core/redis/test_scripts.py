"""What calls of scripts promise, on one Redis and on a cluster of three."""

import asyncio
from typing import Any

import pytest
import redis.exceptions

from core.errors import SettingsError, Unavailable
from core.events import EventLog
from core.models.events import Delta, encode
from core.redis.client import Redis, Scripts, connect
from core.redis.keys import events_key
from tests.polling import until
from tests.ports import free_port

ECHO = "redis.call('SET', KEYS[1], ARGV[1]); return ARGV[1]"
NOTE = "redis.call('ZADD', KEYS[1], 'NX', redis.call('ZCARD', KEYS[1]), ARGV[1]); return ARGV[1]"
KEYS = [f"key:{number}" for number in range(300)]


async def on_every_node(any_redis: Redis, *words: str) -> None:
    if not any_redis.nodes.found:
        await any_redis.nodes.find()
    for master in any_redis.nodes.masters:
        await any_redis.nodes.client(master).execute_command(*words)


async def test_every_call_gets_its_own_answer_wherever_its_key_lies(scripts: Scripts, any_redis: Redis) -> None:
    echo = scripts.register(ECHO)
    assert await asyncio.gather(*(scripts.run(echo, (key,), (key,)) for key in KEYS)) == [key.encode() for key in KEYS]
    assert await asyncio.gather(*(scripts.command("GET", key) for key in KEYS)) == [key.encode() for key in KEYS]
    sizes = [await any_redis.nodes.client(master).dbsize() for master in any_redis.nodes.masters]
    assert (sum(sizes), all(sizes)) == (len(KEYS), True)


async def test_calls_for_a_key_arrive_in_the_order_in_which_they_were_made(scripts: Scripts) -> None:
    note = scripts.register(NOTE)
    expected = [str(number).encode() for number in range(1000)]
    assert await asyncio.gather(*(scripts.run(note, ("key",), (number,)) for number in range(1000))) == expected
    assert await scripts.command("ZRANGE", "key", 0, -1) == expected


async def test_a_failure_is_raised_to_its_caller_alone(scripts: Scripts) -> None:
    echo = scripts.register(ECHO)
    calls = [scripts.command("LPUSH", key, 1) if number % 2 else scripts.run(echo, (key,), (1,)) for number, key in enumerate(KEYS)]
    await asyncio.gather(*calls)
    answers = await asyncio.gather(*(scripts.command("LLEN", key) for key in KEYS), return_exceptions=True)
    assert [isinstance(answer, redis.exceptions.ResponseError) for answer in answers] == [number % 2 == 0 for number in range(len(KEYS))]


async def test_scripts_that_redis_forgot_are_loaded_again(scripts: Scripts, any_redis: Redis) -> None:
    echo = scripts.register(ECHO)
    await asyncio.gather(*(scripts.run(echo, (key,), (1,)) for key in KEYS))
    await on_every_node(any_redis, "SCRIPT", "FLUSH")
    assert set(await asyncio.gather(*(scripts.run(echo, (key,), (2,)) for key in KEYS))) == {b"2"}


async def test_a_script_that_is_registered_later_runs_on_connections_that_are_there(scripts: Scripts) -> None:
    await asyncio.gather(*(scripts.command("GET", key) for key in KEYS))
    echo = scripts.register(ECHO)
    assert set(await asyncio.gather(*(scripts.run(echo, (key,), (1,)) for key in KEYS))) == {b"1"}


async def test_connections_that_break_lose_no_call_and_no_order(scripts: Scripts, any_redis: Redis) -> None:
    note, broken = scripts.register(NOTE), asyncio.Event()

    async def write(key: str) -> list[Any]:
        answers: list[Any] = []
        while not broken.is_set() or len(answers) < 100:
            first = len(answers)
            answers += await asyncio.gather(*(scripts.run(note, (key,), (number,)) for number in range(first, first + 20)))
        return answers

    async def cut() -> None:
        for _ in range(10):
            await on_every_node(any_redis, "CLIENT", "KILL", "TYPE", "normal")
        broken.set()

    answers, *_ = await asyncio.gather(asyncio.gather(*(write(key) for key in KEYS[:20])), cut())
    for key, got in zip(KEYS[:20], answers, strict=True):
        assert got == [str(number).encode() for number in range(len(got))] == await scripts.command("ZRANGE", key, 0, -1)


async def test_a_connection_that_broke_while_nobody_called_is_no_matter(scripts: Scripts, any_redis: Redis) -> None:
    asked = [await scripts.command("SET", key, 1) for key in KEYS[:20]]
    await on_every_node(any_redis, "CLIENT", "KILL", "TYPE", "normal")
    await until(lambda: all(pipeline.closed for pipeline in scripts._pipelines.values()), "all connections are closed")
    assert (set(asked), {await scripts.command("GET", key) for key in KEYS[:20]}) == ({b"OK"}, {b"1"})


async def test_a_call_that_nobody_waits_for_holds_up_no_other(scripts: Scripts) -> None:
    calls = [asyncio.create_task(scripts.command("INCR", "key")) for _ in range(10)]
    await asyncio.sleep(0)
    calls[0].cancel()
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert isinstance(answers[0], asyncio.CancelledError)
    assert all(isinstance(answer, int) for answer in answers[1:])


async def test_what_is_published_is_heard_whatever_node_it_went_to(scripts: Scripts, any_redis: Redis) -> None:
    await any_redis.nodes.find()
    logs = []
    for master in any_redis.nodes.masters:
        any_redis.nodes._chosen = master
        log = EventLog(any_redis)
        await log.start()
        await until(lambda log=log: log._wire, "it listens")  # type: ignore[misc]
        logs.append(log)
    ears = [log.hear("topic") for log in logs]
    assert [await anext(ear) for ear in ears] == [None] * len(ears)
    assert await scripts.count_subscribers("topic") == len(logs)
    assert await logs[0].notify("topic", b"news") > 0
    assert [await anext(ear) for ear in ears] == [b"news"] * len(ears)
    for ear, log in zip(ears, logs, strict=True):
        await ear.aclose()
        await log.close()


async def test_a_topic_is_heard_of_by_a_process_on_another_node_and_by_nobody_once_it_left(any_redis: Redis) -> None:
    await any_redis.nodes.find()
    here, there = EventLog(any_redis), EventLog(any_redis)
    any_redis.nodes._chosen = any_redis.nodes.masters[-1]
    await there.start()
    ear = there.hear("topic")
    await anext(ear)
    any_redis.nodes._chosen = any_redis.nodes.masters[0]
    assert await here.notify("topic", b"news") == 1
    await ear.aclose()

    async def deaf() -> bool:
        return await here.notify("topic", b"news") == 0

    await until(deaf, "nobody listens")
    await there.close()


async def test_a_log_is_read_from_the_node_that_it_lies_on(scripts: Scripts, any_redis: Redis) -> None:
    log = EventLog(any_redis)
    for number in range(20):
        await scripts.command("XADD", events_key(str(number)), "1-1", "e", encode(Delta(text=str(number))))
    assert [(await log.read(str(number)))[0][1] for number in range(20)] == [Delta(text=str(number)) for number in range(20)]


async def test_without_patience_a_redis_that_is_away_fails_at_once_and_one_that_is_back_answers(any_redis: Redis) -> None:
    nobody = connect(f"redis://127.0.0.1:{free_port()}")
    for _ in range(2):
        with pytest.raises(Unavailable, match="cannot be reached"):
            await Scripts(nobody, patience_s=0).command("GET", "key")
    await nobody.aclose()
    assert await Scripts(any_redis, patience_s=0).command("PING") == b"PONG"


async def test_a_url_is_read_or_refused_in_words() -> None:
    with pytest.raises(SettingsError, match="PENSTOCK_REDIS_URL"):
        connect("http://127.0.0.1")
    with pytest.raises(SettingsError, match="redis://host:6379,other:6379"):
        connect("redis://127.0.0.1:x,127.0.0.1:y")


async def test_a_cluster_has_one_database_and_says_so(redis_cluster_url: str) -> None:
    redis = connect(f"{redis_cluster_url}/1")
    with pytest.raises(Unavailable, match="database 0 alone"):
        await Scripts(redis, patience_s=0).command("GET", "key")
    await redis.aclose()


async def test_several_addresses_must_be_a_clusters(redis_url: str) -> None:
    one = redis_url.removeprefix("redis://").removesuffix("/0")
    redis = connect(f"redis://{one},{one.replace('127.0.0.1', 'localhost')}")
    with pytest.raises(Unavailable, match="Name one"):
        await Scripts(redis, patience_s=0).command("GET", "key")
    await redis.aclose()
