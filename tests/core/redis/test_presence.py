import pytest

from core.redis import presence
from core.redis.client import Scripts
from core.redis.presence import Presence
from tests.job_backend import JobBackend
from tests.job_backend import any_jobs_url as jobs_url
from tests.polling import until

__all__ = ["jobs_url"]


@pytest.fixture
def processes(backend: JobBackend) -> tuple[Presence, Presence]:
    """Two web processes."""
    return Presence(Scripts(backend.client)), Presence(Scripts(backend.client))


async def buried(by: Presence, process: str) -> dict[str, list[str]]:
    return {chat_id: sorted(gone) async for chat_id, gone in by.bury(process)}


async def test_a_user_comes_with_the_first_connection_and_goes_with_the_last_on_any_process(processes: tuple[Presence, Presence]) -> None:
    one, other = processes
    assert await one.join("c", "ada", "1") == (True, ["ada"])
    assert await other.join("c", "ada", "2") == (False, ["ada"])
    assert await one.join("c", "ada", "3") == (False, ["ada"])
    assert await other.join("c", "bob", "4") == (True, ["ada", "bob"])
    assert [await one.leave("c", "ada", "3"), await other.leave("c", "ada", "2"), await one.leave("c", "ada", "1")] == [False, False, True]
    assert await one.leave("c", "ada", "1") is False
    assert await one.join("c", "eve", "5") == (True, ["bob", "eve"])


async def test_who_dies_with_a_process_is_gone_once_and_those_on_another_one_stay(
    processes: tuple[Presence, Presence], monkeypatch: pytest.MonkeyPatch
) -> None:
    dead, alive = processes
    await alive.renew()
    await alive.renew()
    monkeypatch.setattr(presence, "LEASE_MS", 1)
    await dead.join("c", "ada", "1")
    await dead.join("c", "bob", "2")
    await dead.join("d", "ada", "3")
    await alive.join("c", "bob", "4")
    monkeypatch.setattr(presence, "LEASE_MS", 8_000)

    async def found() -> list[str]:
        return (await alive.renew())[1]

    (process,) = await until(found, "the death is noticed")
    assert await buried(alive, process) == {"c": ["ada"], "d": ["ada"]}
    assert await buried(alive, process) == {}
    assert await alive.renew() == (True, [])
    assert await alive.join("c", "eve", "5") == (True, ["bob", "eve"])


async def test_a_process_that_was_late_is_told_so_and_not_buried_once_it_is_back(
    processes: tuple[Presence, Presence], monkeypatch: pytest.MonkeyPatch
) -> None:
    late, other = processes
    assert await other.renew() == (False, [])
    monkeypatch.setattr(presence, "LEASE_MS", 1)
    assert await late.renew() == (False, [])
    await late.join("c", "ada", "1")
    monkeypatch.setattr(presence, "LEASE_MS", 8_000)

    async def found() -> list[str]:
        return (await other.renew())[1]

    (process,) = await until(found, "the lateness is noticed")
    assert await late.renew() == (False, [])
    assert await buried(other, process) == {}
    assert await late.join("c", "ada", "1") == (False, ["ada"])
    assert await late.renew() == (True, [])
