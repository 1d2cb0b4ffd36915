"""The OpenAPI document says what the route table says, in the form that OpenAPI 3.1 lays down."""

import re
from typing import Any

import jsonschema_rs
import msgspec
import pytest
from schemathesis.specs.openapi import definitions

from api.docs.openapi import encoded
from api.routes import ROUTES, addresses
from gpu.sources import EMBEDDER_ID, STARTER_ID
from tests.api.conftest import Client

METHODS = {"get", "post", "put", "patch", "delete", "options"}


@pytest.fixture
def described() -> dict[str, Any]:
    found: dict[str, Any] = msgspec.json.decode(encoded(ROUTES))
    return found


def operations(described: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [(method, path, found) for path, item in described["paths"].items() for method, found in item.items()]


def test_it_is_openapi_3_1(described: dict[str, Any]) -> None:
    assert definitions.OPENAPI_31_VALIDATOR.is_valid(described)


def test_every_schema_is_json_schema_and_every_reference_leads_somewhere(described: dict[str, Any]) -> None:
    for schema in described["components"]["schemas"].values():
        assert jsonschema_rs.meta.is_valid(schema)
    for kind, name in set(re.findall(r"'#/components/(\w+)/([^']+)'", str(described))):
        assert name in described["components"][kind]


def test_every_address_is_described(described: dict[str, Any]) -> None:
    shown = {(method.upper(), path.rstrip("/")) for method, path, _ in operations(described)}
    assert shown == {(route.method, re.sub(r":[^}]*", "", path).rstrip("/")) for route, path in addresses()}


def test_every_operation_has_a_name_of_its_own_and_a_summary_that_is_a_line(described: dict[str, Any]) -> None:
    found = operations(described)
    tags = [tag["name"] for tag in described["tags"]]
    assert sorted(tags) == sorted({tag for _, _, operation in found for tag in operation["tags"]})
    assert len({operation["operationId"] for _, _, operation in found}) == len(found)
    for method, path, operation in found:
        assert 3 <= len(operation["summary"]) <= 100, (method, path, operation["summary"])
        assert "``" not in str(operation)


def test_what_its_examples_ask_for_is_there_on_a_new_server(described: dict[str, Any]) -> None:
    def example(path: str) -> dict[str, Any]:
        content = described["paths"][path]["post"]["requestBody"]["content"]["application/json"]
        found: dict[str, Any] = content["example"] if "example" in content else next(iter(content["examples"].values()))["value"]
        return found

    account, visitor = example("/api/auths/signup"), example("/api/auths/signin")
    assert visitor == {name: account[name] for name in visitor}
    assert example("/api/openai/v1/chat/completions")["model"] == STARTER_ID
    assert example("/api/openai/v1/embeddings")["model"] == EMBEDDER_ID


async def test_it_is_served_and_a_client_that_has_it_is_told_so(visitor: Client, described: dict[str, Any]) -> None:
    reply = await visitor.get("/openapi.json")
    assert (reply.status, reply.headers["Content-Type"]) == (200, "application/json")
    assert reply.body == described
    again = await visitor.get("/openapi.json", headers={"If-None-Match": reply.headers["ETag"]})
    assert (again.status, again.body) == (304, None)


def test_who_looks_for_socket_io_finds_its_events(described: dict[str, Any]) -> None:
    about = next(tag["description"] for tag in described["tags"] if tag["name"] == "Socket.IO")
    assert {"join_chat", "leave_chat", "message", "stop", "user_join", "user_leave", "error"} <= set(re.findall(r"`([a-z_]+)`", about))


def test_streams_are_shown_to_their_end(described: dict[str, Any]) -> None:
    answers = [answer for _, _, found in operations(described) for answer in found["responses"].values() if "content" in answer]
    streams = [stream["example"] for answer in answers if "example" in (stream := answer["content"].get("text/event-stream", {}))]
    assert len(streams) > 1
    assert all(stream.endswith("\n\n") for stream in streams), streams
