import os
import subprocess
import sys
from pathlib import Path

import pytest

from core.errors import SettingsError
from gpu import devices
from tests.gpu.asking import Started

ANSWERING = """
import asyncio, sys
from pathlib import Path
from core.settings import Settings
from gpu.engine import load
from gpu.sources import starter
from tests.gpu.asking import ask

engine = load(starter()[0], Settings(data_dir=Path(sys.argv[1]), device="auto"))
answered = asyncio.run(ask(engine, "What is the capital of France?", temperature=1.0, logprobs=1))
engine.close()
print(engine.continued, engine.fingerprint, len(answered.tokens), "torch" in sys.modules, "transformers" in sys.modules)
"""


def test_a_gguf_model_answers_on_a_processor_without_torch(first_start: Started) -> None:
    command = (sys.executable, "-c", ANSWERING, str(first_start.settings.data_dir))
    told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.split()
    assert told[:2] == ["exact", first_start.engine.fingerprint]
    assert int(told[2]) > 0
    assert told[3:] == ["False", "False"]


def test_without_a_driver_there_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "DRIVER", "libno-such-driver.so.1")
    assert devices.choose("auto") == "cpu"


@pytest.mark.parametrize("name", ["quantum", "cuda:99"])
def test_a_device_that_is_not_there_is_refused(name: str) -> None:
    with pytest.raises(SettingsError, match="PENSTOCK_DEVICE"):
        devices.choose(name)


@pytest.mark.parametrize(
    ("limit", "cores"), [("max 100000\n", None), ("100000 100000\n", 1), ("50000 100000\n", 1), ("9900000 100000\n", None)]
)
def test_a_containers_share_of_the_processor_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, cores: int | None) -> None:
    (tmp_path / "cpu.max").write_text(limit)
    monkeypatch.setattr(devices, "PROCESSOR_LIMIT", tmp_path / "cpu.max")
    assert devices.cores() == (cores or len(os.sched_getaffinity(0)))


def test_the_processor_has_memory_and_cores() -> None:
    assert devices.free_bytes("cpu") > 0
    assert devices.describe("cpu") == "cpu"
    assert devices.threads() == max(1, devices.cores() - 1)
    assert devices.threads(5) == 5
