"""What operators are told of this machine."""

from pathlib import Path

from tests.penstock.conftest import Run
from tests.ports import free_port


async def test_doctor_says_how_redis_would_be_started(penstock: Run, tmp_path: Path) -> None:
    doctor = penstock("doctor", data_dir=tmp_path / "data", redis_maxmemory_mb=512, redis_appendfsync="always")
    await doctor.start()
    await doctor.process.wait()
    (line,) = [line for line in doctor.output.splitlines() if line.split()[1:2] == ["Redis"]]
    assert line.endswith("started by penstock up with at most 512 MB of memory, appendfsync always")


async def test_doctor_finds_a_cluster_by_whichever_of_its_addresses_answers(penstock: Run, tmp_path: Path, redis_server: str) -> None:
    alive = redis_server.removeprefix("redis://")
    doctor = penstock("doctor", data_dir=tmp_path / "data", redis_url=f"redis://127.0.0.1:{free_port()},{alive}")
    await doctor.start()
    await doctor.process.wait()
    (line,) = [line for line in doctor.output.splitlines() if line.split()[1:2] == ["Redis"]]
    assert line.endswith(f"something listens at {alive}")
