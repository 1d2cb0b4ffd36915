"""Each document store in turn: the embedded one, MongoDB, and FerretDB, which speaks MongoDB's protocol."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from core.settings import Settings
from core.storage import open_records
from core.storage.records.port import Records

SECRET_KEY = "a secret key that only these tests know"
ATOMIC = ("sqlite", "mongo")


@pytest.fixture(params=[*ATOMIC, "ferretdb"])
def store_settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """Settings that name one of the stores, empty."""
    return _settings(request, tmp_path)


@pytest.fixture(params=ATOMIC)
def atomic_settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """The same for promises that FerretDB cannot keep: it looks for what to update first, and updates it later."""
    return _settings(request, tmp_path)


def _settings(request: pytest.FixtureRequest, data_dir: Path) -> Settings:
    mongo_url = "" if request.param == "sqlite" else request.getfixturevalue(f"{request.param}_url")
    return Settings(data_dir=data_dir, mongo_url=mongo_url, secret_key=SECRET_KEY)


@pytest.fixture
async def records(store_settings: Settings) -> AsyncIterator[Records]:
    """A store, open and empty."""
    async with open_records(store_settings) as opened:
        yield opened


@pytest.fixture
async def atomic_records(atomic_settings: Settings) -> AsyncIterator[Records]:
    """A store for racing writers, open and empty."""
    async with open_records(atomic_settings) as opened:
        yield opened
