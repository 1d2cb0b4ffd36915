"""Each document store in turn: the embedded one, and a server that speaks MongoDB's protocol."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from core.settings import Settings
from core.storage import open_records
from core.storage.records.port import Records

SECRET_KEY = "a secret key that only these tests know"


@pytest.fixture(params=["sqlite", "mongo"])
def store_settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """Settings that name one of the stores, empty."""
    mongo_url = request.getfixturevalue("mongo_url") if request.param == "mongo" else ""
    return Settings(data_dir=tmp_path, mongo_url=mongo_url, secret_key=SECRET_KEY)


@pytest.fixture(params=["sqlite", "mongo"])
def atomic_settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """The same for promises that FerretDB cannot keep: it looks for what to update first, and updates it later."""
    if request.param == "mongo" and not os.environ.get("PENSTOCK_TEST_MONGO_URL"):  # noqa: TID251 - a setting of the tests
        pytest.skip("racing writers need a real MongoDB: set PENSTOCK_TEST_MONGO_URL")
    mongo_url = request.getfixturevalue("mongo_url") if request.param == "mongo" else ""
    return Settings(data_dir=tmp_path, mongo_url=mongo_url, secret_key=SECRET_KEY)


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
