"""Names as the system looks them up."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator
from ipaddress import ip_address
from typing import Any

import pytest

from core.errors import BadRequest
from core.settings import Settings
from pipelines.fetching.guard import Guard
from pipelines.fetching.resolver import THREADS, GuardedResolver, LookUps


@pytest.fixture
async def look_ups() -> AsyncIterator[LookUps]:
    made = LookUps()
    yield made
    await made.close()


async def test_a_name_has_its_addresses_and_one_that_nobody_has_is_an_error(look_ups: LookUps) -> None:
    found = await look_ups.resolve("localhost", 80, socket.AF_UNSPEC)
    assert found
    assert all(ip_address(one["host"]).is_loopback and (one["hostname"], one["port"]) == ("localhost", 80) for one in found)
    with pytest.raises(OSError, match=r"."):
        await look_ups.resolve("nobody.invalid", 80)


async def test_this_machine_by_its_name_is_refused(look_ups: LookUps) -> None:
    with pytest.raises(BadRequest, match="localhost is at a loopback address"):
        await GuardedResolver(look_ups, Guard(Settings())).resolve("LOCALHOST", 80)


async def test_slow_names_hold_up_nobody_else(look_ups: LookUps, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = threading.Event()

    def slow(*_: Any, **__: Any) -> list[Any]:
        gone.wait()
        return []

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    slow_ones = [asyncio.create_task(look_ups.resolve(f"{number}.example", 80)) for number in range(2 * THREADS)]
    assert await asyncio.to_thread(lambda: "not held up") == "not held up"
    assert not any(task.done() for task in slow_ones)
    gone.set()
    assert await asyncio.gather(*slow_ones) == [[]] * (2 * THREADS)
