"""Connections to Redis, and calls of its scripts that share a round trip.

One database, the one that PENSTOCK_REDIS_URL names, holds everything: jobs, logs, the registry and Dramatiq's queues. Or a Redis Cluster,
named by one of its nodes or by several, ``redis://one:6379,other:6379``: the rest is found by asking them, which also tells that it is one
(core.redis.nodes).
"""

import asyncio
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import redis.asyncio
import redis.exceptions
from redis.asyncio.connection import parse_url
from redis.commands.core import AsyncScript

from core.errors import SettingsError, Unavailable
from core.redis.connection import Argument, pack_command
from core.redis.held_calls import HeldCalls
from core.redis.nodes import Address, Nodes, Owners
from core.redis.pipeline import Call, Pipeline, Trial
from core.redis.refusals import doubts_owner, explain_absence, find_detour, find_new_owner, is_refusal

MAX_CONNECTIONS = 32
POOL_TIMEOUT_S = 20
CONNECT_TIMEOUT_S = 5
HEALTH_CHECK_S = 15
DEFAULT_PORT = 6379
FIRST_PAUSE_S, MAX_PAUSE_S = 0.02, 0.5

RedisError = redis.exceptions.RedisError


class Redis(redis.asyncio.Redis):
    """A client of the first address of a URL. ``nodes``: every server behind it."""

    nodes: Nodes

    async def aclose(self, close_connection_pool: bool | None = None) -> None:  # noqa: FBT001 - redis-py's
        """Close all connections, those of the nodes among them."""
        await self.nodes.close()
        await super().aclose(close_connection_pool)


def split_addresses(url: str) -> list[str]:
    """The URL of each address that a URL names."""
    parts = urlsplit(url)
    login, at, hosts = parts.netloc.rpartition("@")
    return [parts._replace(netloc=f"{login}{at}{host}").geturl() for host in hosts.split(",")] if "," in hosts else [url]


def connection_options(url: str) -> dict[str, Any]:
    """Connection parameters of a URL's first address. Raises SettingsError."""
    try:
        found: dict[str, Any] = dict(parse_url(split_addresses(url)[0]))
    except ValueError as error:
        message = (
            f"PENSTOCK_REDIS_URL cannot be read: {error}. Write redis://host:6379/0 or unix:///path/to/socket?db=0; "
            "of a cluster one node or several, redis://host:6379,other:6379."
        )
        raise SettingsError(message) from None
    found["db"] = int(found.get("db") or 0)
    return found


def connect(url: str) -> Redis:
    """A client with a bounded pool; nothing is sent yet. Answers are bytes."""
    options = connection_options(url)
    addresses = [_address(connection_options(one)) for one in split_addresses(url)]
    client = Redis(connection_pool=_pool(options))
    client.auto_close_connection_pool = True
    client.nodes = Nodes(addresses, lambda address: redis.asyncio.Redis.from_pool(_pool(options, address)))
    return client


def _address(options: dict[str, Any]) -> Address:
    return (options["path"], 0) if "path" in options else (options.get("host", "localhost"), options.get("port", DEFAULT_PORT))


def _pool(options: dict[str, Any], address: Address | None = None) -> redis.asyncio.BlockingConnectionPool:
    if address and address[1]:
        reached_by_socket = {"path", "connection_class"} if "path" in options else set()
        options = {name: value for name, value in options.items() if name not in reached_by_socket} | {
            "host": address[0],
            "port": address[1],
        }
    defaults = {
        "max_connections": MAX_CONNECTIONS,
        "timeout": POOL_TIMEOUT_S,
        "health_check_interval": HEALTH_CHECK_S,
        "socket_connect_timeout": CONNECT_TIMEOUT_S,
        "socket_timeout": CONNECT_TIMEOUT_S,
    }
    return redis.asyncio.BlockingConnectionPool(**(defaults | options | {"protocol": 2}))  # RESP2: what is published comes as plain lists


class Scripts:
    """Calls of Lua scripts (and plain commands) on one database, through one connection for each node that is never waited for.

    A call's answer is Redis's; its failure is raised to its caller alone. Calls reach one Redis in the order in which they were made, a
    cluster in that order for each slot. A call goes where its first key lies; one without a key to any node. What is away, moving or not
    yet ready is tried again for ``patience_s`` seconds, so that a restart is a pause; then Unavailable. Every call must therefore be safe
    to repeat. A ``patience_s`` of 0 fails at once.
    """

    def __init__(self, redis: Redis, *, patience_s: float = 20.0) -> None:
        """Connections are made with the first calls, and closed with ``redis``."""
        self._redis = redis
        self._nodes = redis.nodes
        self._patience_s = patience_s
        self._sources: list[bytes] = []
        self._pipelines: dict[Address | None, Pipeline] = {}
        self._opening: dict[Address, asyncio.Task[Pipeline]] = {}
        self._held: dict[int, HeldCalls] = {}
        self._owners: Owners | None = None

    def register(self, source: str) -> AsyncScript:
        """A script, to be named in ``run``."""
        load = pack_command("SCRIPT", "LOAD", source)
        self._sources.append(load)
        for pipeline in self._pipelines.values():
            pipeline.send(Call(load))
        return self._redis.register_script(source)

    async def run(self, script: AsyncScript, keys: Sequence[Argument] = (), args: Sequence[Argument] = ()) -> Any:
        """Run one script."""
        return await self.ask(script, keys, args)

    async def command(self, *words: Argument) -> Any:
        """Run one command. Its key is its second word, unless it is one of those that have none."""
        return await self._call(None if len(words) == 1 or words[0] in _KEYLESS else words[1], words)

    async def together(self, *keys: str) -> bool:
        """Whether one script may touch all of these: there is one server, or they have one slot. Raises Unavailable."""
        if not self._nodes.found:
            await self.command("PING")
        return self._nodes.owners is None or len({self._nodes.slot(key) for key in keys}) == 1

    def ask(self, script: AsyncScript, keys: Sequence[Argument] = (), args: Sequence[Argument] = ()) -> "asyncio.Future[Any]":
        """Run one script; its answer comes later."""
        return self._call(keys[0] if keys else None, ("EVALSHA", script.sha, len(keys), *keys, *args))

    async def count_subscribers(self, channel: str) -> int:
        """How many connections listen on a channel. Each node of a cluster knows its own. Raises Unavailable where one is away."""
        try:
            await self._nodes.find()
            asked = [(await self._open(master)).attempt(pack_command("PUBSUB", "NUMSUB", channel)) for master in self._nodes.masters]
        except (RedisError, OSError) as error:
            raise explain_absence(error) from None
        answers = await asyncio.gather(*asked)
        for answer in answers:
            if isinstance(answer, Exception):
                raise explain_absence(answer)
        return sum(answer[1] for answer in answers)

    def _call(self, key: Argument | None, words: tuple[Argument, ...]) -> "asyncio.Future[Any]":
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Any] = loop.create_future()
        self._dispatch(Call(pack_command(*words), key, answer, loop.time() + self._patience_s))
        return answer

    def _dispatch(self, call: Call) -> None:
        if self._nodes.owners is not self._owners:
            self._follow_slots()
        slot = self._nodes.slot(call.key)
        pipeline = None if slot in self._held else self._pipelines.get(self._nodes.owner(slot))
        if pipeline:
            pipeline.send(call)
        else:
            self._hold(slot).later.append(call)

    def _follow_slots(self) -> None:
        """Slots have other owners now. What is under way at the former one comes first."""
        self._owners = self._nodes.owners
        for pipeline in list(self._pipelines.values()):
            for slot in {self._nodes.slot(call.key) for call in pipeline.under_way if call.wanted and not isinstance(call, Trial)}:
                if self._nodes.owner(slot) != pipeline.address:
                    self._hold(slot, pipeline)

    def _hold(self, slot: int, pipeline: Pipeline | None = None) -> HeldCalls:
        """Send nothing more for a slot until the first of its calls is answered; those under way on a pipeline are waited for."""
        held = self._held.get(slot)
        if held is None:
            held = self._held[slot] = HeldCalls()
            earlier = pipeline.attempt(pack_command("PING")) if pipeline and not pipeline.closed else None
            held.task = asyncio.create_task(self._mend(slot, held, earlier))
        return held

    def _refuse(self, pipeline: Pipeline, call: Call, error: Exception) -> None:
        """A call is to be made again."""
        if isinstance(call, Trial):
            call.settle(error)
        elif call.wanted:
            held = self._hold(self._nodes.slot(call.key), pipeline)
            held.earlier.append(call)
            held.error = error

    async def _mend(self, slot: int, held: HeldCalls, under_way: "asyncio.Future[Any] | None") -> None:
        """Until one call is answered by the node that its slot belongs to: then the others follow it, in order."""
        pause = FIRST_PAUSE_S
        try:
            if under_way:
                await under_way
            while call := held.first():
                try:
                    if not self._nodes.found or doubts_owner(held.error):
                        await self._nodes.find()
                    if await self._try(slot, call):
                        break
                    held.error = None
                except (RedisError, OSError, Unavailable) as error:
                    held.error = error
                    held.give_up(error)
                    await asyncio.sleep(pause)
                    pause = min(pause * 2, MAX_PAUSE_S)
        except BaseException:
            held.cancel()
            raise
        finally:
            del self._held[slot]
        for call in held:
            self._dispatch(call)

    async def _try(self, slot: int, call: Call) -> bool:
        """Make one call: whether it was answered where its slot belongs, and not on the node that the slot is moving to."""
        if self._nodes.slot(call.key) != slot:
            return True  # until now it was not known that there are slots
        address = self._nodes.owner(slot)
        if address is None:
            message = f"Redis Cluster does not serve slot {slot}. See CLUSTER INFO, and bring the missing node back."
            raise Unavailable(message)
        answer = await (await self._open(address)).attempt(call.packed)
        owner = find_new_owner(answer, address)
        if owner and self._nodes.owners:
            self._nodes.move(slot, owner)
            answer = await (await self._open(owner)).attempt(call.packed)
        detour = find_detour(answer, owner or address)
        if detour:
            other = await self._open(detour)
            other.send(Call(pack_command("ASKING")))
            answer = await other.attempt(call.packed)
        if isinstance(answer, Exception) and is_refusal(answer):
            raise answer
        call.settle(answer)
        return detour is None

    async def _open(self, address: Address) -> Pipeline:
        pipeline = self._pipelines.get(address)
        if pipeline and not pipeline.closed:
            return pipeline
        if address not in self._opening:
            self._opening[address] = asyncio.create_task(self._connect(address))
        return await asyncio.shield(self._opening[address])

    async def _connect(self, address: Address) -> Pipeline:
        pipeline = Pipeline(address, self._refuse)
        try:
            await pipeline.open(self._nodes.client(address), self._sources)
            self._pipelines[address] = pipeline
        except (RedisError, OSError):
            self._nodes.avoid(address)
            raise
        finally:
            del self._opening[address]
        return pipeline


_KEYLESS = {"PING", "PUBLISH", "PUBSUB", "SCRIPT", "TIME", "INFO", "CONFIG", "CLIENT", "CLUSTER", "DBSIZE", "FLUSHALL"}
