"""The schema as a whole."""

from pathlib import Path

import msgspec
import pytest

from core.models.users import Session
from core.settings import Settings
from schema import schema
from tests.schema.transports import Post

SDL = Path(__file__).parents[2] / "schema" / "schema.graphql"
INTROSPECTION = "{ __schema { queryType { name } } }"


def test_the_exported_sdl_is_the_schema() -> None:
    assert SDL.read_text(encoding="utf-8") == schema.as_str() + "\n", "run `make schema`"


async def test_strangers_may_introspect_a_server_of_their_own_machine(url: str) -> None:
    assert (await Post(url).ask(INTROSPECTION))["data"] == {"__schema": {"queryType": {"name": "Query"}}}


class TestOpenToOthers:
    """A server that listens to other machines."""

    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        """On all addresses."""
        return msgspec.structs.replace(settings, host="0.0.0.0")  # noqa: S104 - what is tested

    async def test_strangers_may_not_introspect_it(self, url: str) -> None:
        answer = await Post(url).ask(INTROSPECTION)
        assert "data" not in answer
        assert answer["errors"][0]["extensions"]["code"] == "bad_request"

    async def test_users_may(self, url: str, ada: Session) -> None:
        assert (await Post(url).ask(INTROSPECTION, ada.token))["data"]
