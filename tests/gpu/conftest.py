"""The starter model, loaded once; and what must stand in the environment before torch is imported."""

import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from gpu.environment import CHILD_ENVIRONMENT

os.environ.update(CHILD_ENVIRONMENT)  # noqa: TID251 - what a worker does for itself

import torch

from core.settings import Settings
from gpu.engine import Engine, load
from gpu.kernels import Kernels, Way, compile_kernels
from gpu.sources import starter
from tests.gpu.asking import Started

THREADS = int(os.environ.get("PENSTOCK_TEST_THREADS", "1"))  # noqa: TID251 - a setting of the tests; 1: as a worker on two cores


@pytest.fixture(scope="session", autouse=True)
def number_of_threads() -> None:
    """What a worker tells torch."""
    torch.set_num_threads(THREADS)


@pytest.fixture(scope="session")
def first_start(tmp_path_factory: pytest.TempPathFactory, made_models: Path) -> Iterator[Started]:
    """The starter model's first start in an empty data folder, unless PENSTOCK_TEST_MODELS names one; others find what it made."""
    settings = Settings(data_dir=tmp_path_factory.mktemp("data"), device="cpu")
    models = settings.data_dir / "models"
    if "PENSTOCK_TEST_MODELS" in os.environ:  # noqa: TID251 - as above
        models.symlink_to(made_models)
    said: list[str] = []
    (source,) = starter()
    engine = load(source, settings, progress=said.append, threads=THREADS, max_batch=8)
    if not models.is_symlink():
        shutil.copytree(models, made_models, copy_function=_link, dirs_exist_ok=True)
    yield Started(engine, source, settings, said)
    engine.close()


@pytest.fixture(scope="session")
def engine(first_start: Started) -> Engine:
    """The starter model's engine."""
    return first_start.engine


@pytest.fixture(scope="session")
def functions(first_start: Started) -> Kernels:
    """The compiled kernels of the first start."""
    return compile_kernels(first_start.settings.data_dir / "models", "native", pytest.fail)


@pytest.fixture(params=Way, ids=lambda way: way.label)
def way(request: pytest.FixtureRequest, functions: Kernels) -> Way:
    """Each way of computing an encoder's products that this processor has."""
    way: Way = request.param
    if way not in functions.ways:
        pytest.skip(f"this processor, or its system, has no {way.label}")
    return way


@pytest.fixture(scope="session")
def model_cache(first_start: Started) -> Path:
    """Where the first start kept what it made."""
    (folder,) = (first_start.settings.data_dir / "models").glob(f"{first_start.source.id}-*")
    return folder


def _link(source: str, target: str) -> None:
    with suppress(FileExistsError):
        os.link(source, target)
