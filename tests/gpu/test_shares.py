"""Turns of a device: simulated, and between threads."""

import asyncio
import itertools
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Collection
from pathlib import Path

import pytest

from gpu.device_lock import DeviceLock
from gpu.shares import Share, Shares
from tests.polling import until

ROOT = Path(__file__).parent.parent.parent
QUERIES, DECODING, BULK = Share.QUERIES, Share.DECODING, Share.BULK


def turns(shares: Shares, wanting: Collection[Share], count: int, seconds: dict[Share, float]) -> list[Share]:
    """So many turns, all of them wanted all the time."""
    had = []
    for _ in range(count):
        had.append(shares.first(wanting))
        shares.charge(had[-1], seconds[had[-1]])
    return had


EVEN = dict.fromkeys(Share, 0.01)


@pytest.mark.parametrize(
    ("wanting", "expected"),
    [
        ({DECODING, BULK}, {DECODING: 100, BULK: 10}),
        ({QUERIES, BULK}, {QUERIES: 100, BULK: 10}),
        ({QUERIES, DECODING}, {QUERIES: 55, DECODING: 55}),
        ({QUERIES, DECODING, BULK}, {QUERIES: 52, DECODING: 52, BULK: 6}),
        ({BULK}, {BULK: 110}),
    ],
)
def test_each_has_its_share(wanting: set[Share], expected: dict[Share, int]) -> None:
    assert Counter(turns(Shares(), wanting, 110, EVEN)) == expected


def test_it_is_time_that_is_shared_not_turns() -> None:
    had = Counter(turns(Shares(), {DECODING, BULK}, 600, {**EVEN, DECODING: 0.02, BULK: 0.05}))
    assert 0.09 < had[BULK] * 0.05 / (had[DECODING] * 0.02) < 0.11


def test_nobody_waits_for_more_than_one_piece_of_bulk() -> None:
    had = turns(Shares(), {DECODING, BULK}, 1000, EVEN)
    assert (BULK, BULK) not in itertools.pairwise(had)


@pytest.mark.parametrize("busy", [{BULK}, {DECODING}, {DECODING, BULK}])
def test_a_query_is_next_whoever_has_kept_the_device_busy(busy: set[Share]) -> None:
    shares = Shares()
    for _ in range(50):
        turns(shares, busy, 7, EVEN)
        assert turns(shares, {QUERIES, *busy}, 1, {**EVEN, QUERIES: 0.001}) == [QUERIES]


def test_who_was_away_saves_nothing_up() -> None:
    shares = Shares()
    turns(shares, {BULK}, 1000, EVEN)
    turns(shares, {DECODING}, 1000, EVEN)
    assert turns(shares, {DECODING, BULK}, 110, EVEN).count(BULK) <= 11
    turns(shares, {BULK}, 1000, EVEN)
    assert turns(shares, {DECODING, BULK}, 110, EVEN).count(BULK) in {9, 10, 11}


def test_the_policy_needs_no_torch() -> None:
    modules = "gpu.shares, gpu.device_lock, gpu.batch_queue, gpu.failures, gpu.embed_loop"
    code = f"import sys, {modules}; sys.exit(bool({{'torch', 'transformers'}} & sys.modules.keys()))"
    assert subprocess.run((sys.executable, "-c", code), cwd=ROOT, check=False).returncode == 0


async def test_turns_of_one_share_are_given_in_order_to_one_at_a_time() -> None:
    device_lock, order = DeviceLock(), list[int]()
    inside = threading.Lock()

    def work(number: int) -> None:
        with device_lock.seat(lambda: (DECODING,)).take():
            assert inside.acquire(blocking=False)
            order.append(number)
            inside.release()

    with device_lock.seat(tuple).take():
        working = []
        for number in range(4):
            working.append(asyncio.create_task(asyncio.to_thread(work, number)))
            await until(lambda: device_lock.asking == len(working), "it waits")
    await asyncio.gather(*working)
    assert order == list(range(4))


class Due:
    """A seat that wants to decode and one that has bulk to do, which has had more than its share."""

    def __init__(self, device_lock: DeviceLock) -> None:
        self.wants: list[Share] = [DECODING]
        self.had: list[Share] = []
        self.decoding, self._bulk = device_lock.seat(lambda: self.wants), device_lock.seat(lambda: (BULK,))
        while device_lock._shares.first({DECODING, BULK}) is BULK:
            device_lock._shares.charge(BULK, 0.01)

    def embed(self) -> None:
        """A piece of bulk."""
        with self._bulk.take() as share:
            self.had.append(share)


async def test_who_is_due_and_comes_back_in_a_moment_is_not_overtaken() -> None:
    device_lock = DeviceLock(patience_s=60)
    due = Due(device_lock)
    piece = asyncio.create_task(asyncio.to_thread(due.embed))
    await until(lambda: device_lock.asking == 1, "bulk waits, though the device is free")
    with due.decoding.take() as share:
        assert (share, due.had) == (DECODING, [])
        due.wants.clear()
    await piece
    assert due.had == [BULK]


@pytest.mark.parametrize("leaves", [True, False], ids=["its thread has ended", "its thread hangs"])
async def test_who_is_due_and_does_not_come_holds_nobody_up_for_ever(*, leaves: bool) -> None:
    due = Due(DeviceLock(patience_s=60 if leaves else 0.001))
    if leaves:
        due.decoding.leave()
    await asyncio.to_thread(due.embed)
    assert due.had == [BULK]


async def test_what_is_wanted_is_looked_at_when_a_turn_is_given() -> None:
    device_lock = DeviceLock()
    wants, given = [BULK], list[Share]()
    seat = device_lock.seat(lambda: wants)

    def embed() -> None:
        with seat.take() as share:
            given.append(share)

    with device_lock.seat(lambda: (DECODING,)).take():
        embedding = asyncio.create_task(asyncio.to_thread(embed))
        await until(lambda: device_lock.asking == 1, "bulk waits")
        wants.append(QUERIES)
    await embedding
    assert given == [QUERIES]
