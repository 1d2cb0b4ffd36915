"""A stack of real processes with the starter model."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from openai import AsyncOpenAI

from tests.stack import Stack, stack_in

MODEL = "smollm2-135m-instruct"


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

    async def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """POST JSON; the answer, which must be good."""
        async with self._session.post(f"{self.stack.url}{path}", json=body, headers={"Authorization": f"Bearer {self.token}"}) as response:
            answer: dict[str, Any] = await response.json()
            assert response.ok, answer
            return answer

    async def ask(self, question: str, **params: Any) -> tuple[str, str]:
        """Ask in a new chat, through GraphQL: (chat id, generation id)."""
        chat = await self.post("/api/chats/new", {"chat": {"title": "t", "models": [MODEL], "messages": [], "params": params}})
        return chat["id"], await self.say(chat["id"], question)

    async def say(self, chat_id: str, question: str) -> str:
        """Ask in a chat; the generation's id."""
        query = "mutation ($input: SendMessageInput!) { sendMessage(input: $input) { generationId } }"
        answer = await self.post("/graphql", {"query": query, "variables": {"input": {"chatId": chat_id, "content": question}}})
        assert "errors" not in answer, answer
        generation_id: str = answer["data"]["sendMessage"]["generationId"]
        return generation_id

    async def text(self, chat_id: str) -> str:
        """The stored answer."""
        async with self._session.get(
            f"{self.stack.url}/api/chats/{chat_id}", headers={"Authorization": f"Bearer {self.token}"}
        ) as response:
            chat = await response.json()
            content: str = chat["chat"]["messages"][-1]["content"]
            return content


@pytest.fixture
async def user(stack: Stack) -> AsyncIterator[User]:
    """The first user."""
    async with aiohttp.ClientSession() as session:
        body = {"name": "Ada", "email": "ada@example.com", "password": "correct horse battery"}
        async with session.post(f"{stack.url}/api/auths/signup", json=body) as response:
            made = await response.json()
            assert response.ok, made
        user = User(stack, session, made["token"])
        yield user
        await user.openai.close()
