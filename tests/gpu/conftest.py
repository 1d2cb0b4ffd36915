"""The starter model, loaded once; and what must stand in the environment before torch is imported."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from gpu.environment import CHILD_ENVIRONMENT

os.environ.update(CHILD_ENVIRONMENT)  # noqa: TID251 - what a worker's launcher does for the worker

import torch

from core.settings import Settings
from gpu.engine import Engine, load
from gpu.kernels import Kernels, compiled
from gpu.sources import starter
from tests.gpu.asking import Started


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """As a worker on two cores."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def first_start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Started]:
    """The starter model's first start in an empty data folder."""
    settings = Settings(data_dir=tmp_path_factory.mktemp("data"), device="cpu")
    said: list[str] = []
    (source,) = starter()
    engine = load(source, settings, progress=said.append, threads=1, max_batch=8)
    yield Started(engine, source, settings, said)
    engine.close()


@pytest.fixture(scope="session")
def engine(first_start: Started) -> Engine:
    """The starter model's engine."""
    return first_start.engine


@pytest.fixture(scope="session")
def functions(first_start: Started) -> Kernels:
    """The compiled kernels of the first start."""
    return compiled(first_start.settings.data_dir / "models", "native", pytest.fail)


@pytest.fixture(scope="session")
def model_cache(first_start: Started) -> Path:
    """Where the first start kept what it made."""
    (folder,) = (first_start.settings.data_dir / "models").glob(f"{first_start.source.id}-*")
    return folder
