"""The OpenAPI 3.1 document: made from the route table and the models, so that it says what the code does."""

import inspect
import re
from collections.abc import Iterable
from functools import cache
from importlib.metadata import version
from pathlib import Path

import msgspec

from api.docs.operations import Json, markdown, noun, operation, operation_id, plain_path, problems, title, types
from api.http.authentication import COOKIE
from api.http.route import Route

REF = "#/components/schemas/{name}"
LICENSE = {"name": "Apache 2.0", "identifier": "Apache-2.0"}
LAST = ("Health", "Documentation")
ABOUT = """\
Send `Authorization: Bearer <token>`: the token that signing up or in answers with, or an API key.

- An error is `{"detail": "..."}` and says what to do next. Fields that are not known are ignored.
- Times are Unix seconds.
- Who asks too often gets 429 and waits `Retry-After` seconds; the `X-RateLimit-*` headers say how much is left.
- `X-Request-ID` comes back as it was sent, or made; the log has it too.
"""
SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "The token of signing in, or an API key."},
    "cookie": {"type": "apiKey", "in": "cookie", "name": COOKIE, "description": "What browsers get when they sign in."},
}
HEADERS: Json = {
    "X-Request-ID": {"description": "What the log calls this request.", "required": True, "schema": {"type": "string"}},
    "Location": {"description": "Where to go on.", "required": True, "schema": {"type": "string"}},
    "X-RateLimit-Limit": {"description": "Requests per minute.", "schema": {"type": "integer", "minimum": 0}},
    "X-RateLimit-Remaining": {"description": "Requests that are left now.", "schema": {"type": "integer", "minimum": 0}},
    "X-RateLimit-Reset": {"description": "Unix seconds when one more may be made.", "schema": {"type": "integer", "minimum": 0}},
    "Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 0}},
    "WWW-Authenticate": {"description": "How to sign in.", "required": True, "schema": {"type": "string"}},
}


EXAMPLES = Path(__file__).parents[1] / "static" / "openapi" / "examples.json"
_EXAMPLES: dict[str, Json] = msgspec.json.decode(EXAMPLES.read_bytes())


@cache
def encoded(routes: tuple[Route, ...]) -> bytes:
    """The document as JSON."""
    return msgspec.json.encode(document(routes))


def document(routes: Iterable[Route]) -> Json:
    """The document of these routes."""
    routes = tuple(routes)
    kinds = list(dict.fromkeys(kind for route in routes for kind in types(route)))
    shapes, schemas = msgspec.json.schema_components(kinds, ref_template=REF)
    schema_of = dict(zip(kinds, shapes, strict=True)).__getitem__
    paths: Json = {}
    for route in routes:
        for path in addresses(route):
            found = operation(route, path, schema_of)
            paths.setdefault(plain_path(path), {})[route.method.lower()] = _shown(found, _EXAMPLES.get(operation_id(route, route.path), {}))
    nouns = {title(noun(route)): route for route in reversed(routes)}
    nouns = dict(reversed(nouns.items()))
    used = set(re.findall(r"#/components/responses/(\w+)", str(paths)))
    return {
        "openapi": "3.1.0",
        "info": {"title": "Penstock", "version": version("penstock"), "description": ABOUT, "license": LICENSE},
        "servers": [{"url": "/"}],
        "tags": sorted((_tag(route) for route in nouns.values()), key=lambda tag: tag["name"] in LAST),
        "paths": paths,
        "components": {
            "schemas": {kind: _readable(schema) for kind, schema in sorted(schemas.items())},
            "responses": {kind: _told(answer, kind) for kind, answer in problems(schema_of).items() if kind in used},
            "headers": HEADERS,
            "securitySchemes": SCHEMES,
        },
    }


def _shown(operation: Json, example: Json) -> Json:
    """An operation with what a test once sent and got (tests.api.tour)."""
    for parameter in operation.get("parameters", ()):
        value = {**example.get("variables", {}), **example.get("query", {})}.get(parameter["name"])
        if value is not None:
            whole = parameter["schema"].get("type") == "integer"
            parameter["example"] = int(value) if whole else value
    if "body" in example and "requestBody" in operation:
        for content in operation["requestBody"]["content"].values():
            content["example"] = example["body"]
    for media, answer in example.get("answers", {}).items():
        for response in operation["responses"].values():
            if media in response.get("content", {}) and "example" not in response["content"][media]:
                response["content"][media] = {**response["content"][media], "example": answer}
                break
    return operation


def _told(answer: Json, kind: str) -> Json:
    """A failure with what a test once was told."""
    told = _EXAMPLES.get("problems", {}).get(kind)
    return (
        answer if told is None else answer | {"content": {media: {**shape, "example": told} for media, shape in answer["content"].items()}}
    )


def addresses(route: Route) -> list[str]:
    """Its paths. One that has a slash more or less at its end is not another one."""
    return [route.path, *(path for path in route.also if path.rstrip("/") != route.path.rstrip("/"))]


def _tag(route: Route) -> Json:
    """A noun, and what its module says of itself."""
    return {"name": title(noun(route)), "description": markdown(inspect.getdoc(inspect.getmodule(route.handler)) or "")}


def _readable(schema: Json) -> Json:
    """A model's schema as Markdown readers see it."""
    return schema | {"description": markdown(schema["description"])} if "description" in schema else schema
