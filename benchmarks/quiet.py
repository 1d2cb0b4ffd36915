"""Rounds that others disturb little: what else uses the machine meanwhile is watched, and a disturbed round is measured again.

Where all cores are busy, threads that wait for one another by spinning lose most of their speed: one busy neighbour would decide a ratio.
"""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

import msgspec

from benchmarks.processes import busy_seconds, cpu_seconds, used

T = TypeVar("T")

MOST_OTHERS = 0.05  # cores
TRIES = 3
CALM_S = 0.4
PATIENCE_S = 10.0


class Taken(msgspec.Struct, Generic[T], frozen=True):
    """What a round gave, what the watched processes ``used_s`` of all cores for it, and what ``others`` used meanwhile, in cores."""

    given: T
    used_s: float
    others: float


async def quietly(pid: int, play: Callable[[], Awaitable[T]]) -> Taken[T]:
    """The round that was disturbed least, of up to TRIES; its own are ``pid`` and all below it, and this process with its children."""
    tries = list[Taken[T]]()
    while len(tries) < TRIES and not (tries and tries[-1].others <= MOST_OTHERS):
        await _calm()
        tries.append(await _watched(pid, play))
    return min(tries, key=lambda taken: taken.others)


async def _watched(pid: int, play: Callable[[], Awaitable[T]]) -> Taken[T]:
    own, machine, asking, began = cpu_seconds(pid), busy_seconds(), _asking_seconds(), time.perf_counter()
    given = await play()
    mine, took = used(own, cpu_seconds(pid)), time.perf_counter() - began
    others = busy_seconds() - machine - mine - (_asking_seconds() - asking)
    return Taken(given, mine, max(0.0, others / took))


async def _calm() -> None:
    """Wait until nobody does anything, but not for ever."""
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        machine = busy_seconds()
        await asyncio.sleep(CALM_S)
        if busy_seconds() - machine <= MOST_OTHERS * CALM_S:
            return


def _asking_seconds() -> float:
    """Processor time of this process and of those that it has waited for."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system
