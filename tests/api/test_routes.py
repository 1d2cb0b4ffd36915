import re

import pytest

from api.http.authentication import Access
from api.routes import ROUTES, addresses
from tests.api.conftest import Client

OWN_DOORS = {"/graphql", "/socket.io/", "/ws/socket.io/"}
OPEN = {"/health", "/ready", "/openapi.json", "/", "/docs", "/redoc", "/user.png", "/api/auths/signup", "/api/auths/signin"}


def test_only_these_addresses_are_open_to_anyone() -> None:
    assert {path for route, path in addresses() if route.access is Access.ANYONE} == OPEN | OWN_DOORS


def test_a_handler_has_one_kind_of_access() -> None:
    assert len({route.handler for route in ROUTES}) == len({(route.handler, route.access) for route in ROUTES})


@pytest.mark.parametrize(
    ("method", "path"), [(route.method, path) for route, path in addresses() if route.access is not Access.ANYONE], ids=str
)
async def test_a_visitor_is_refused(visitor: Client, method: str, path: str) -> None:
    reply = await visitor.ask(method, re.sub(r"\{[^}]*\}", "x", path))
    assert reply.status == 401


async def test_both_lists_of_models_are_there(bob: Client) -> None:
    for path in ("/api/models/", "/api/models", "/v1/models", "/api/openai/v1/models"):
        body = (await bob.get(path)).body
        (row,) = body["models"]
        assert body["data"] == [row]
        assert {name: row[name] for name in ("id", "name", "object", "owned_by", "created")} == {
            "id": "echo",
            "name": "Echo",
            "object": "model",
            "owned_by": "penstock",
            "created": 1_700_000_000,
        }
    assert (await bob.get("/v1/models/echo")).body == row
    assert (await bob.get("/v1/models/a/b")).body["error"]["code"] == "model_not_found"


def test_every_handler_is_in_the_folder_of_its_face() -> None:
    assert {route.handler.__module__.split(".")[1] for route in ROUTES} == {"docs", "graphql", "openai", "rest", "socketio"}
