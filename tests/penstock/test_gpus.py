"""A GPU is one worker's."""

import os
from pathlib import Path

import pytest

from core.settings import Settings
from penstock import gpus
from penstock.environment import child_environment


@pytest.fixture
def two_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine whose nvidia-smi lists two."""
    program = tmp_path / "bin" / "nvidia-smi"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho GPU-one\necho GPU-two\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")  # noqa: TID251 - what the program is looked for in


@pytest.mark.usefixtures("two_gpus")
def test_workers_of_one_machine_take_different_gpus(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    taken = [gpus.for_worker(settings) for _ in range(3)]
    assert [one and one.id for one in taken] == ["GPU-one", "GPU-two", None]
    assert taken[0]
    os.close(taken[0].lock_fd)
    assert [one.id for one in gpus.for_workers(settings)] == ["GPU-one"]


@pytest.mark.usefixtures("two_gpus")
def test_a_device_that_the_operator_names_is_left_to_them(tmp_path: Path) -> None:
    assert gpus.for_worker(Settings(data_dir=tmp_path, device="cuda:1")) is None
    assert gpus.for_workers(Settings(data_dir=tmp_path, device="cpu")) == []


def test_a_worker_sees_its_gpu_unless_the_operator_chose(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert child_environment({}, gpu="GPU-one")["CUDA_VISIBLE_DEVICES"] == "GPU-one"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    assert child_environment({}, gpu="GPU-one")["CUDA_VISIBLE_DEVICES"] == "3"
