"""A call of every documented route, each answer held against the document, and what was sent and answered kept as examples.

``python -m tests.api.tour`` (``make docs``) writes the examples that the OpenAPI document shows.
"""

import asyncio
import json
import re
import sys
import tempfile
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any

import aiohttp
import jsonschema_rs
from aiohttp import web

from api.app import create_app
from api.docs.openapi import EXAMPLES, encoded
from api.docs.operations import operation_id as operation_name
from api.docs.operations import plain_path
from api.http.authentication import Access
from api.http.keys import SERVICES
from api.routes import ROUTES
from core.models.users import Role
from core.settings import SearchEngine, Settings
from tests.api.call import Call, Prepare, filled, sent
from tests.api.calls import CALLS, MORE
from tests.api.conftest import MODEL, Client
from tests.api.server_fixture import EMBED, ServerFixture
from tests.servers import redis_server
from tests.serving_models import serve_models

JSON = "application/json"
PLACEHOLDERS = (
    (re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]+"), "YOUR_JWT_TOKEN"),
    (re.compile(r"sk-[\w-]{16,}"), "sk-abc123def456"),
    (re.compile(r'(?<=")[^"@]+@example\.com'), "john@example.com"),
    (re.compile(r'(?<="last_four": ")[^"]+'), "f456"),
    (re.compile(r"\becho\b"), "smollm2-135m-instruct"),
    (re.compile(r"\bEcho\b"), "SmolLM2 135M Instruct"),
    (re.compile(r"\bembed\b"), "all-MiniLM-L6-v2"),
    (re.compile(r"\bEmbed\b"), "all-MiniLM-L6-v2"),
    (re.compile(r"https?://127\.0\.0\.1:\d+"), "https://your-domain.com"),
    (re.compile(r'(?<=\\"sid\\":\\")[^"\\]+|(?<="sid": ")[^"]+'), "abc123"),
    (re.compile(r"(?<![\w.-])1[6-9]\d{8}(?![\w.])"), "1699564800"),
    (re.compile(r"\b20\d\d-\d\d-\d\dT[\d:.]+(?:Z|\+00:00)"), "2023-11-09T21:20:00Z"),
)
UUID = r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b"
RANDOM = re.compile(UUID + r"|\b[0-9a-f]{32}\b|(?<![\w-])[\w-]{32}(?![\w-])")
SHOWN_CHARACTERS = 600
PATIENCE_S = 20
PROBLEMS = {
    "BadRequest": ("POST", "/api/chats/new", {"chat": "New Chat"}),
    "Unauthorized": ("GET", "/api/auths/", None),
    "Forbidden": ("GET", "/api/users/", None),
    "NotFound": ("GET", "/api/chats/nothing", None),
    "BadRequestForOpenAI": ("POST", "/v1/chat/completions", {"model": "echo", "messages": []}),
    "UnauthorizedForOpenAI": ("GET", "/v1/models", None),
    "NotFoundForOpenAI": ("GET", "/v1/models/nothing", None),
}
LIMITS: dict[str, Any] = {"rate_limit_per_minute": 1_000, "upload_rate_limit_per_minute": 1_000, "anonymous_rate_limit_per_minute": 1_000}
SEARCH: dict[str, Any] = {"embedding_model": "embed", "web_search": SearchEngine.SEARXNG, "web_search_url": "http://searxng"}


class Visit:
    """One call and its answer, held against the document."""

    def __init__(self, described: dict[str, Any], name: str, call: Call) -> None:
        self.name = name
        self.call = call
        self.status = 0
        self.media = ""
        self.answer: Any = None
        method, path = name.split(" ")
        self.operation = described["paths"][plain_path(path)][method.lower()]
        self._described = described

    async def make(self, client: Client) -> None:
        """The call itself."""
        method, pattern = self.name.split(" ")
        headers = {**client.headers, **self.call.headers}
        address = client.url + filled(pattern, self.call.variables)
        options: dict[str, Any] = {"data": sent(self.call.body), "params": self.call.query, "headers": headers, "allow_redirects": False}
        async with client.session.request(method, address, **options) as response:
            raw = await response.read()
            self.status, self.media = response.status, response.content_type
            self.headers = response.headers
            self.answer = json.loads(raw) if self.media.endswith("json") else raw.decode(errors="replace")

    def faults(self) -> Iterator[str]:
        """What the document does not say."""
        success = min(code for code in self.operation["responses"] if code < "400")
        if str(self.status) != success:
            yield f"{self.name}: answered {self.status}, not {success}: {self.answer}"
            return
        documented = self.operation["responses"][success]
        if self.media != "text/html":  # a page is anybody's, whoever may read what it then asks for
            yield from (f"{self.name}: no header {header}" for header in documented["headers"] if header not in self.headers)
        if "content" not in documented:
            if self.answer:
                yield f"{self.name}: answered with what is not documented: {self.answer}"
            return
        content = documented["content"].get(self.media) or documented["content"].get("*/*")
        if "graphql" in self.name and self.media == JSON and "errors" in self.answer:
            yield f"{self.name}: {self.answer}"
        if content is None:
            yield f"{self.name}: answered {self.media}, which is not documented"
        elif self.media.endswith("json"):
            schema = {**closed(content["schema"]), "components": closed(self._described["components"])}
            yield from (
                f"{self.name}: {error.message} at {error.instance_path}"
                for error in jsonschema_rs.Draft202012Validator(schema).iter_errors(self.answer)
            )

    def example(self) -> dict[str, Any]:
        """For the document."""
        form = self.call.headers.get("Content-Type", "").startswith("multipart/")  # nobody writes one by hand
        body = None if form else self.call.body.decode() if isinstance(self.call.body, bytes) else self.call.body
        found = {"variables": dict(self.call.variables), "query": dict(self.call.query), "body": body}
        answer = self.answer if self.media.endswith(("json", "event-stream")) else self.answer[:SHOWN_CHARACTERS]
        readable = self.media.endswith("json") or self.media.startswith("text/")
        return {key: value for key, value in found.items() if value} | {"answers": {self.media: answer} if readable else {}}


def closed(schema: Any) -> Any:
    """A schema that knows all of its objects' members: an answer with others is not what is documented."""
    if isinstance(schema, list):
        return [closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: closed(value) for key, value in schema.items()}
    if isinstance(schema.get("properties"), dict) and schema.get("type") == "object":
        found.setdefault("additionalProperties", False)
    return found


async def tour(server: ServerFixture) -> tuple[dict[str, Any], list[str]]:
    """Examples by operation, and what is not as documented."""
    described = json.loads(encoded(ROUTES))
    examples: dict[str, Any] = {}
    faults: list[str] = []
    for route in ROUTES:
        name = f"{route.method} {route.path}"
        for prepare in (CALLS[name], *MORE.get(name, ())):
            visit = await visited(server, described, name, prepare, admin=route.access is Access.ADMIN)
            faults += visit.faults()
            example = visit.example()
            known = examples.setdefault(operation_name(route, route.path), example)
            known["answers"] |= example["answers"]
    examples["problems"] = {kind: await refusal(server, kind) for kind in PROBLEMS}
    examples["documentationOpenapi"]["answers"] = {JSON: {"openapi": "3.1.0", "info": {"title": "Penstock"}, "paths": {}}}
    return stable(examples), faults


async def refusal(server: ServerFixture, kind: str) -> Any:
    """What somebody is told who asks for what cannot be."""
    method, path, body = PROBLEMS[kind]
    asker = server.visitor if kind.startswith("Unauthorized") else await server.person(Role.USER)
    reply = await asker.ask(method, path, body)
    assert HTTPStatus(reply.status).phrase.replace(" ", "") == kind.removesuffix("ForOpenAI")
    return reply.body


async def visited(server: ServerFixture, described: dict[str, Any], name: str, prepare: Prepare, *, admin: bool) -> Visit:
    """One call, by somebody who may make it."""
    owner = await server.person(Role.USER, "John Doe")
    asker = await server.person(Role.ADMIN, "Ada") if admin else owner
    visit = Visit(described, name, await prepare(server, owner, asker))
    await server.forget_jobs()
    async with server.worker():
        await visit.make(asker)
    return visit


def stable(examples: dict[str, Any]) -> dict[str, Any]:
    """The same without what differs from one time to the next, and without secrets."""
    found = {}
    for operation, example in examples.items():
        text = json.dumps(example, ensure_ascii=False)
        for pattern, placeholder in PLACEHOLDERS:
            text = pattern.sub(placeholder, text)
        for number, name in enumerate(dict.fromkeys(RANDOM.findall(text)), start=1):
            text = text.replace(name, f"00000000-0000-4000-8000-{number:012}")
        found[operation] = json.loads(text)
    return found


@asynccontextmanager
async def opened(app: web.Application) -> AsyncGenerator[ServerFixture, None]:
    """A stage over a server of its own."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        await serve_models(app[SERVICES], MODEL, EMBED)
        async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), timeout=aiohttp.ClientTimeout(PATIENCE_S)) as session:
            yield await ServerFixture.of(app[SERVICES], Client(f"http://127.0.0.1:{runner.addresses[0][1]}", session))
    finally:
        await runner.cleanup()


async def write(app: web.Application) -> list[str]:
    """The examples, into their file; what is not as documented."""
    async with opened(app) as server:
        examples, faults = await tour(server)
    EXAMPLES.write_text(json.dumps(examples, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return faults


def main() -> None:
    """From the command line."""
    with tempfile.TemporaryDirectory() as folder, redis_server(Path(folder)) as redis_url:
        settings = Settings(
            data_dir=Path(folder), redis_url=f"{redis_url}/0", secret_key="a secret key that only examples know", **LIMITS, **SEARCH
        )
        faults = asyncio.run(write(create_app(settings)))
    sys.exit("\n".join(faults) or None)


if __name__ == "__main__":
    main()
