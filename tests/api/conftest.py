"""The whole web process on a free port, two users, and a model that a test answers for by hand."""

import io
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import aiohttp
import msgspec
import pytest
from aiohttp import web

from api.app import create_app
from core.settings import Settings
from tests.serving import MODEL, app, listening, quick_passwords, services, url

__all__ = ["MODEL", "app", "quick_passwords", "services", "url"]


@dataclass
class Reply:
    """An answer that was read whole."""

    status: int
    headers: Any
    body: Any


class Client:
    """Somebody who talks to the server, signed in or not."""

    def __init__(self, url: str, session: aiohttp.ClientSession, user: dict[str, Any] | None = None, token: str = "") -> None:
        self.url = url
        self.session = session
        self.user = user or {}
        self.token = token

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}

    async def ask(self, method: str, path: str, body: Any = None, **options: Any) -> Reply:
        """One request, answered with JSON or nothing; ``body`` as JSON, or as it is where it is bytes."""
        data = None if body is None else io.BytesIO(body if isinstance(body, bytes) else msgspec.json.encode(body))
        headers = {**self.headers, **options.pop("headers", {})}
        async with self.session.request(method, self.url + path, data=data, headers=headers, **options) as response:
            raw = await response.read()
            return Reply(response.status, response.headers, msgspec.json.decode(raw) if raw else None)

    async def get(self, path: str, **options: Any) -> Reply:
        return await self.ask("GET", path, **options)

    async def post(self, path: str, body: Any, **options: Any) -> Reply:
        return await self.ask("POST", path, body, **options)

    async def delete(self, path: str) -> Reply:
        return await self.ask("DELETE", path)

    async def chat(self, title: str = "A chat", **document: Any) -> str:
        """A new chat's id."""
        created = await self.post("/api/chats/new", {"chat": {"title": title, "models": ["echo"], "messages": [], **document}})
        assert created.status == 201, created
        chat_id: str = created.body["id"]
        return chat_id


@pytest.fixture
def other_app(settings: Settings) -> web.Application:
    return create_app(settings)


@pytest.fixture
async def elsewhere(other_app: web.Application, url: str) -> AsyncIterator[str]:
    """Where another server listens, over the same store and Redis."""
    assert url
    async with listening(other_app) as address:
        yield address


@pytest.fixture
async def visitor(url: str) -> AsyncIterator[Client]:
    """Nobody in particular."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        yield Client(url, session)


async def sign_up(visitor: Client, name: str) -> Client:
    body = {"name": name, "email": f"{name.lower()}@example.com", "password": "correct horse battery"}
    reply = await visitor.post("/api/auths/signup", body)
    assert reply.status == 201, reply
    return Client(visitor.url, visitor.session, reply.body["user"], reply.body["token"])


@pytest.fixture
async def ada(visitor: Client) -> Client:
    """The first user, so an administrator."""
    return await sign_up(visitor, "Ada")


@pytest.fixture
async def bob(visitor: Client, ada: Client) -> Client:
    """A plain user."""
    assert ada
    return await sign_up(visitor, "Bob")


@pytest.fixture
async def eve(visitor: Client, bob: Client) -> Client:
    """A stranger to all that is Bob's."""
    assert bob
    return await sign_up(visitor, "Eve")
