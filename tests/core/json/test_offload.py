"""What takes long does not hold the event loop."""

import asyncio
import threading

import pytest

from core.json.offload import AT_ONCE, OFF_LOOP_BYTES, map_in_turns, offload


async def test_much_is_done_on_a_thread_and_little_at_once() -> None:
    assert await offload(OFF_LOOP_BYTES, threading.get_ident) != threading.get_ident()
    assert await offload(OFF_LOOP_BYTES - 1, threading.get_ident) == threading.get_ident()


async def test_what_the_work_raises_is_raised_where_it_was_asked_for() -> None:
    for size in (0, OFF_LOOP_BYTES):
        with pytest.raises(ValueError, match="invalid literal"):
            await offload(size, int, "x")


async def test_others_get_their_turn_between_many_short_pieces() -> None:
    turns: list[int] = []
    done: list[int] = []

    async def other() -> None:
        while len(done) < 3 * AT_ONCE:
            turns.append(len(done))
            await asyncio.sleep(0)

    beside = asyncio.create_task(other())
    assert await map_in_turns(lambda number: done.append(number) or number, range(3 * AT_ONCE)) == list(range(3 * AT_ONCE))  # type: ignore[func-returns-value]
    await beside
    assert {AT_ONCE, 2 * AT_ONCE} <= set(turns)


async def test_few_pieces_are_done_at_once() -> None:
    assert await map_in_turns(str, [1, 2]) == ["1", "2"]
    assert await map_in_turns(str, []) == []
