"""The tests' own servers are real and answer."""

import json
import urllib.request

import pymongo
import pytest
import redis.asyncio


async def test_redis_is_empty_at_the_start_of_a_test(redis_url: str) -> None:
    async with redis.asyncio.Redis.from_url(redis_url) as client:
        assert await client.dbsize() == 0
        assert (await client.config_get("appendonly"))["appendonly"] == "yes"


@pytest.mark.parametrize("url", ["mongo_url", "ferretdb_url"])
def test_mongodb_keeps_a_document(request: pytest.FixtureRequest, url: str) -> None:
    with pymongo.MongoClient[dict[str, object]](request.getfixturevalue(url)) as client:
        rows = client.get_default_database()["rows"]
        rows.insert_one({"_id": "a", "n": 1})
        assert rows.find_one({"_id": "a"}) == {"_id": "a", "n": 1}


def test_weaviate_says_its_version(weaviate_url: str) -> None:
    with urllib.request.urlopen(f"{weaviate_url}/v1/meta") as answer:  # noqa: S310 - http on loopback
        assert json.load(answer)["version"].startswith("1.")
