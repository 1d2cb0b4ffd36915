"""Stacks of real processes: with the starter model, and with an upstream whose answers are relayed."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from openai import AsyncOpenAI

from tests.stack import Stack, stack_in
from tests.upstream import Upstream

MODEL = "smollm2-135m-instruct"
RELAYED = "dripping"


@pytest.fixture
def folder(tmp_path: Path, made_models: Path) -> Path:
    """A stack's folder."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "models").symlink_to(made_models)
    return tmp_path


@pytest.fixture
async def stack(folder: Path) -> AsyncIterator[Stack]:
    """Redis and a web process; workers are for the test to start."""
    async with stack_in(folder, rate_limit_per_minute=100_000) as running:
        await running.start_redis()
        await running.start_api()
        yield running


class User:
    """A signed-up user."""

    def __init__(self, stack: Stack, session: aiohttp.ClientSession, token: str) -> None:
        self.stack = stack
        self.token = token
        self._session = session
        self.openai = AsyncOpenAI(base_url=f"{stack.url}/api/openai/v1", api_key=token, max_retries=0)

    async def request(self, method: str, path: str, body: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        """The status, and the JSON that came."""
        url, headers = f"{self.stack.url}{path}", {"Authorization": f"Bearer {self.token}"}
        async with self._session.request(method, url, json=body, headers=headers) as response:
            return response.status, await response.json()

    async def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """POST JSON; the answer, which must be good."""
        status, answer = await self.request("POST", path, body)
        assert status < 400, answer
        return answer

    async def new_chat(self, model: str, **params: Any) -> str:
        """A chat's id."""
        chat = await self.post("/api/chats/new", {"chat": {"title": "t", "models": [model], "messages": [], "params": params}})
        chat_id: str = chat["id"]
        return chat_id

    async def ask(self, question: str, **params: Any) -> tuple[str, str]:
        """Ask in a new chat, through GraphQL: (chat id, generation id)."""
        return await self.ask_model(MODEL, question, **params)

    async def ask_model(self, model: str, question: str, **params: Any) -> tuple[str, str]:
        """Ask another model than the starter model."""
        chat_id = await self.new_chat(model, **params)
        return chat_id, await self.say(chat_id, question)

    async def say(self, chat_id: str, question: str) -> str:
        """Ask in a chat; the generation's id."""
        query = "mutation ($input: SendMessageInput!) { sendMessage(input: $input) { generationId } }"
        answer = await self.post("/graphql", {"query": query, "variables": {"input": {"chatId": chat_id, "content": question}}})
        assert "errors" not in answer, answer
        generation_id: str = answer["data"]["sendMessage"]["generationId"]
        return generation_id

    async def messages(self, chat_id: str) -> list[dict[str, Any]]:
        """What is stored in a chat."""
        _, chat = await self.request("GET", f"/api/chats/{chat_id}")
        messages: list[dict[str, Any]] = chat["chat"]["messages"]
        return messages

    async def text(self, chat_id: str) -> str:
        """The stored answer."""
        content: str = (await self.messages(chat_id))[-1]["content"]
        return content


@pytest.fixture
async def user(stack: Stack) -> AsyncIterator[User]:
    """The first user."""
    async with signed_up(stack) as user:
        yield user


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    """An upstream in this process."""
    async with Upstream(models=(RELAYED, "words", "slow")).serving() as serving:
        yield serving


@pytest.fixture
async def relays(tmp_path: Path, upstream: Upstream) -> AsyncIterator[Stack]:
    """Redis and a web process; relay workers are for the test to start."""
    async with relay_stack(tmp_path, upstream) as running:
        yield running


@pytest.fixture
async def reader(relays: Stack) -> AsyncIterator[User]:
    """The first user there."""
    async with signed_up(relays) as user:
        yield user


@asynccontextmanager
async def relay_stack(folder: Path, upstream: Upstream, **settings: Any) -> AsyncIterator[Stack]:
    """Redis and a web process over an upstream."""
    async with stack_in(folder, rate_limit_per_minute=100_000, openai_base_urls=upstream.url, **settings) as running:
        await running.start_redis()
        await running.start_api()
        yield running


@asynccontextmanager
async def signed_up(stack: Stack) -> AsyncIterator[User]:
    """A stack's first user."""
    async with aiohttp.ClientSession() as session:
        body = {"name": "Ada", "email": "ada@example.com", "password": "correct horse battery"}
        async with session.post(f"{stack.url}/api/auths/signup", json=body) as response:
            made = await response.json()
            assert response.ok, made
        user = User(stack, session, made["token"])
        yield user
        await user.openai.close()
