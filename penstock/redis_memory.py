"""How much memory Redis may take, how much it takes, and a warning before it is full."""

import asyncio
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import msgspec

from core.redis.client import Redis, RedisError, connect

MB = 1_000_000
MACHINES_SHARE = 4  # one part of so many: a rewrite of the append-only file may take as much again for a while
CGROUP_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
LEVELS_PERCENT = (80, 90, 98)
CALM_PERCENT = 70
LOOK_S = 5.0


class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """What counts towards the limit; ``limit_bytes`` is 0 where there is none. ``policy``: what Redis does when it is full."""

    used_bytes: int
    limit_bytes: int
    policy: str

    @property
    def percent(self) -> int:
        """Of the limit."""
        return self.used_bytes * 100 // self.limit_bytes if self.limit_bytes else 0


class MemoryWatch:
    """Says once that Redis is nearly full, again each time that it has become worse, and anew after it was well."""

    def __init__(self) -> None:
        self._said = 0

    def judge(self, memory: Memory) -> str:
        """A warning; empty where there is nothing new to say."""
        percent = memory.percent
        level = max((level for level in LEVELS_PERCENT if level <= percent), default=0)
        worse = level > self._said
        self._said = 0 if percent < CALM_PERCENT else max(level, self._said)
        return _warning(memory) if worse else ""


async def watch(url: str, say: Callable[[str], None]) -> None:
    """Look now and then, and warn; until cancelled."""
    client, watcher = connect(url), MemoryWatch()
    try:
        while True:
            with suppress(RedisError, OSError):  # it is being started again
                warning = watcher.judge(await read(client))
                if warning:
                    say(warning)
            await asyncio.sleep(LOOK_S)
    finally:
        await client.aclose()


async def read(client: Redis) -> Memory:
    """Ask it. Raises RedisError where it does not tell."""
    found = await client.info("memory")
    return Memory(
        used_bytes=found["used_memory"] - found.get("mem_not_counted_for_evict", 0),
        limit_bytes=found.get("maxmemory", 0),
        policy=found.get("maxmemory_policy", ""),
    )


def limit_bytes(maxmemory_mb: int) -> int:
    """The limit that is set, else a part of the memory of this machine, or of this container."""
    return maxmemory_mb * MB or _machines_bytes() // MACHINES_SHARE


def _machines_bytes() -> int:
    found = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    for path in CGROUP_LIMITS:
        with suppress(OSError, ValueError):  # not there, or "max"
            found.append(int(path.read_text(encoding="ascii")))
    return min(found)


def _warning(memory: Memory) -> str:
    return (
        f"warning: uses {memory.percent} % of its {memory.limit_bytes // MB} MB; when it is full, nothing new is taken. "
        "Answers stay in it for an hour after their end: wait, or raise PENSTOCK_REDIS_MAXMEMORY_MB and start again"
    )
