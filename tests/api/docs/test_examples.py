"""Every documented route is called, its answer is as documented, and the document's examples are what comes today.

Both on one Redis and on a cluster.
"""

import json
from typing import Any

import msgspec
import pytest
from aiohttp import web

from api.docs.openapi import EXAMPLES
from core.settings import Settings
from tests.api.tour import LIMITS, SEARCH, opened, tour


@pytest.fixture(params=["one", "cluster"])
def settings(settings: Settings, request: pytest.FixtureRequest) -> Settings:
    redis_url = settings.redis_url if request.param == "one" else request.getfixturevalue("redis_cluster_url")
    return msgspec.structs.replace(settings, redis_url=redis_url, **LIMITS, **SEARCH)


def shape(value: Any) -> Any:
    """What a value is made of, whatever it says."""
    if isinstance(value, dict):
        return {key: shape(item) for key, item in value.items()}
    return [shape(item) for item in value[:1]] if isinstance(value, list) else "…"


async def test_every_route_does_what_the_document_says_and_as_its_example_shows(app: web.Application) -> None:
    async with opened(app) as server:
        examples, faults = await tour(server)
    assert faults == []
    kept = json.loads(EXAMPLES.read_text(encoding="utf-8"))
    assert shape(kept) == shape(examples), "an answer or a call has changed: run `make docs`"


def test_no_example_holds_a_secret() -> None:
    text = EXAMPLES.read_text(encoding="utf-8")
    assert "eyJ" not in text
    assert text.count("sk-") == text.count("sk-abc123def456")
    assert "127.0.0.1" not in text
