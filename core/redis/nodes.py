"""Where keys lie: on one Redis, or over the masters of a Redis Cluster.

A Redis says itself whether it belongs to a cluster, so nothing has to be set: a URL names it by any of its nodes, or by several,
separated by commas, of which one that is away does no harm.
"""

import asyncio
import random
from collections.abc import Callable, Sequence
from typing import Any

import redis.asyncio
import redis.exceptions
from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot

from core.errors import Unavailable
from core.redis.connection import Argument, Connection

ANYWHERE = -1

Address = tuple[str, int]  # host and port; of a socket its path and 0
Owners = list[Address | None]


class Nodes:
    """The servers behind one URL, and a client for each. ``owners``: in a cluster each slot's master, as far as it is known."""

    def __init__(self, addresses: Sequence[Address], make_client: Callable[[Address], "redis.asyncio.Redis"]) -> None:
        """``addresses``: those in the URL."""
        self._addresses = addresses
        self._make_client = make_client
        self._clients: dict[Address, redis.asyncio.Redis] = {}
        self._chosen = addresses[0]
        self._finding: asyncio.Task[None] | None = None
        self.owners: Owners | None = None
        self.found = False

    @property
    def masters(self) -> list[Address]:
        """Every node that owns a slot; a Redis that is no cluster is its only one."""
        return list({address for address in self.owners if address}) if self.owners else [self._chosen]

    def client(self, address: Address) -> "redis.asyncio.Redis":
        """A client of one node, with a pool of its own."""
        client = self._clients.get(address)
        if client is None:
            client = self._clients[address] = self._make_client(address)
        return client

    def slot(self, key: Argument | None) -> int:
        """The slot of a key; ANYWHERE for no key, and for every key where there is no cluster."""
        if key is None or self.owners is None:
            return ANYWHERE
        return key_slot(key if isinstance(key, bytes) else str(key).encode())

    def owner(self, slot: int) -> Address | None:
        """The node that a slot's calls go to; None for a slot that nobody serves."""
        return self._chosen if slot == ANYWHERE or self.owners is None else self.owners[slot]

    def move(self, slot: int, owner: Address) -> None:
        """A node says whose a slot is now."""
        self.owners = [owner if number == slot else known for number, known in enumerate(self.owners or ())]

    def avoid(self, address: Address) -> None:
        """A node cannot be reached: what any node can do is another's from now on."""
        others = [other for other in {*self._addresses, *self.masters} if other != address]
        if address == self._chosen and others:
            self._chosen = random.choice(others)  # noqa: S311 - no secret

    async def listen(self, heard: Callable[[Any], None], lost: Callable[[], None]) -> Connection:
        """A connection to any node, for subscriptions: a cluster publishes on all its nodes. Raises what redis-py raises."""
        address = self._chosen
        try:
            return await Connection.open(self.client(address), heard, lost)
        except (redis.exceptions.RedisError, OSError):
            self.avoid(address)
            raise

    async def find(self) -> None:
        """Ask whether this is a cluster and whose its slots are. Raises what redis-py raises where no node answers."""
        if self.found and self.owners is None:
            return
        if self._finding is None or self._finding.done():
            self._finding = asyncio.create_task(self._ask())
        await asyncio.shield(self._finding)

    async def close(self) -> None:
        """Close every client."""
        for client in self._clients.values():
            await client.aclose()

    async def _ask(self) -> None:
        """Of all that are known, in any order: the one that is asked first may be the one that is away."""
        known = list({*self._addresses, *self.masters})
        failure: Exception | None = None
        for address in random.sample(known, len(known)):
            try:
                ranges = await self.client(address).execute_command("CLUSTER", "SLOTS")
            except (redis.exceptions.RedisError, OSError) as error:
                if self.owners is None and _is_no_cluster(error):
                    self._keep_one(address)
                    return
                failure = error
            else:
                self._keep(address, ranges)
                return
        if failure:
            raise failure

    def _keep_one(self, address: Address) -> None:
        if len(self._addresses) > 1:
            message = f"PENSTOCK_REDIS_URL names several addresses, but {address[0]}:{address[1]} is no node of a Redis Cluster. Name one."
            raise Unavailable(message)
        self.found = True

    def _keep(self, asked: Address, ranges: list[tuple[int, int, list[bytes | int]]]) -> None:
        owners: Owners = [None] * REDIS_CLUSTER_HASH_SLOTS
        for first, last, (host, port, *_), *_ in ranges:
            address = (host.decode() if isinstance(host, bytes) and host else asked[0], int(port))
            owners[first : last + 1] = [address] * (last + 1 - first)
        if owners != self.owners:
            self.owners = owners
        if self._chosen not in self.masters:
            self._chosen = asked
        self.found = True


def _is_no_cluster(error: Exception) -> bool:
    """Or one that may not be asked, such as a proxy that looks like one Redis."""
    text = str(error).lower()
    return isinstance(error, redis.exceptions.NoPermissionError) or "cluster support disabled" in text or "unknown command" in text
