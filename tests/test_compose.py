"""The compose file is one that docker compose accepts, and starts what it promises."""

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.servers import built

ROOT = Path(__file__).parent.parent
FILE = ROOT / "docker-compose.gpu.yml"
OURS = {"api", "cpu", "gpu", "relay"}


def config(**environment: str) -> subprocess.CompletedProcess[str]:
    """What ``docker compose config`` makes of the file. It needs no engine."""
    command = (built("docker-compose"), "--file", str(FILE), "config", "--format", "json")
    inherited = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"]}  # noqa: TID251 - all that it needs of ours
    return subprocess.run(command, env=inherited | environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    """The services as docker compose understands them."""
    found = config(PENSTOCK_SECRET_KEY="k" * 32)
    assert found.returncode == 0, found.stderr
    answer: dict[str, Any] = json.loads(found.stdout)["services"]
    return answer


def test_there_is_no_default_secret() -> None:
    found = config()
    assert found.returncode != 0
    assert "PENSTOCK_SECRET_KEY" in found.stderr


def test_every_server_and_every_pool_is_there(services: dict[str, Any]) -> None:
    assert set(services) == OURS | {"redis", "mongo", "weaviate"}
    assert services["relay"]["command"] == ["worker", "relay"]


def test_the_gpu_workers_reserve_devices_and_can_be_scaled(services: dict[str, Any]) -> None:
    gpu = services["gpu"]
    assert gpu["deploy"]["resources"]["reservations"]["devices"] == [{"capabilities": ["gpu"], "count": -1, "driver": "nvidia"}]
    assert "container_name" not in gpu
    assert "ports" not in gpu


def test_everything_says_whether_it_is_well(services: dict[str, Any]) -> None:
    stages = (ROOT / "Dockerfile").read_text(encoding="utf-8").split("\nFROM ")
    checked = {stage.partition("\n")[0].rpartition(" AS ")[2] for stage in stages if "HEALTHCHECK" in stage}
    for name, service in services.items():
        assert "healthcheck" in service or service["build"]["target"] in checked, name


def test_our_processes_share_one_redis_store_and_key(services: dict[str, Any]) -> None:
    shared = ("PENSTOCK_REDIS_URL", "PENSTOCK_MONGO_URL", "PENSTOCK_SECRET_KEY")
    assert len({tuple(services[name]["environment"][variable] for variable in shared) for name in OURS}) == 1


def test_what_the_cpu_pool_pulls_is_where_the_gpu_pool_looks(services: dict[str, Any]) -> None:
    data_dir = re.search(r"PENSTOCK_DATA_DIR=(\S+)", (ROOT / "Dockerfile").read_text(encoding="utf-8"))
    assert data_dir
    assert {"PENSTOCK_DATA_DIR"}.isdisjoint(services["cpu"]["environment"] | services["gpu"]["environment"])
    kept = [mount for name in ("cpu", "gpu") for mount in services[name]["volumes"] if mount["target"] == data_dir[1]]
    assert [(mount["type"], mount["source"], mount.get("read_only", False)) for mount in kept] == [("volume", "models", False)] * 2
