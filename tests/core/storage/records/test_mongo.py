"""What is promised of MongoDB beyond the port."""

import asyncio
from contextlib import ExitStack
from pathlib import Path

import pytest

from core.errors import Unavailable
from core.settings import Settings
from core.storage import open_records
from core.storage.records.port import Record
from core.storage.users import COLLECTION
from tests import servers


async def test_a_server_that_goes_away_is_said_in_seconds(tmp_path: Path) -> None:
    with ExitStack() as stack:
        url = await asyncio.to_thread(stack.enter_context, servers.mongo_server(tmp_path))
        async with open_records(Settings(data_dir=tmp_path, mongo_url=f"{url}/x")) as records:
            await records.ping()
            await asyncio.to_thread(stack.close)
            async with asyncio.timeout(10):
                for asking in (records.get(COLLECTION, "u", Record), records.ping()):
                    with pytest.raises(Unavailable, match="PENSTOCK_MONGO_URL"):
                        await asking


async def test_a_url_without_a_database_means_penstock(mongo_server: str, tmp_path: Path) -> None:
    async with open_records(Settings(data_dir=tmp_path, mongo_url=mongo_server)) as records:
        assert records._database.name == "penstock"  # type: ignore[attr-defined]
