"""What operators are told of this machine."""

from pathlib import Path

import pytest

from core.settings import Settings
from penstock import doctor as doctor_module
from penstock.isolation import Tried
from pipelines.sandbox.self_attack import ATTACKS, Verdict
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


async def test_doctor_says_what_functions_run_in_and_attacks_it(penstock: Run, tmp_path: Path) -> None:
    doctor = penstock("doctor", data_dir=tmp_path / "data")
    await doctor.start()
    await doctor.process.wait()
    lines = {line.split()[1]: line for line in doctor.output.splitlines()}
    if "Users' code cannot be run safely" in lines["sandbox"]:
        pytest.skip(lines["sandbox"])
    assert "Covered: " in lines["sandbox"]
    assert "Not covered: faults of the kernel itself" in lines["sandbox"]
    assert f"{len(ATTACKS)} of {len(ATTACKS)} attacks on it were denied" in lines["self-attack"]


def test_an_attack_that_is_not_denied_is_a_fault(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    verdict = Verdict(name="be root", denied=False, expected="EPERM", found="done")
    monkeypatch.setattr("penstock.isolation.attempt", lambda: Tried(what="landlock", verdicts=(verdict,), seconds=1.0))
    findings = doctor_module.examine(Settings(data_dir=tmp_path))
    (attack,) = [finding for finding in findings if finding.name == "self-attack"]
    assert (attack.found, attack.needed) == (False, True)
    assert attack.text.startswith("NOT DENIED: be root ('done' and not 'EPERM').")


def test_a_machine_without_a_sandbox_can_do_all_else(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("penstock.isolation.attempt", lambda: Tried(what="Users' code is not run."))
    (found,) = [finding for finding in doctor_module.examine(Settings(data_dir=tmp_path)) if finding.name == "sandbox"]
    assert (found.found, found.needed) == (False, False)
    assert "apt-get install bubblewrap" in found.text
