"""One running product for all examples: Redis, a web process, workers and the models that the page names."""

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest
import pytest_asyncio

from tests.api.conftest import Client, Reply, sign_up
from tests.examples.printed import CALLS
from tests.ollama import Ollama
from tests.polling import until
from tests.stack import Stack, stack_in
from tests.upstream import Upstream


class Server:
    """The product with an administrator, and John, who came by the printed request."""

    def __init__(self, admin: Client, john: Client, welcome: Reply) -> None:
        self.url = admin.url
        self.admin = admin
        self.john = john
        self.welcome = welcome
        self._visitors = 0

    async def visitor(self) -> Client:
        """Somebody new."""
        self._visitors += 1
        return await sign_up(Client(self.url, self.admin.session), f"Visitor{self._visitors}")

    async def chat(self) -> str:
        """A chat of John's with a question and its answer."""
        messages = [{"id": "m1", "role": "user", "content": "Hello!", "timestamp": 1}]
        messages += [{"id": "m2", "role": "assistant", "content": "Hi!", "timestamp": 2}]
        return await self.john.chat(models=["gpt-4"], messages=messages)

    async def function(self, content: str = "def get_weather(location: str): ...") -> str:
        """A function of John's."""
        body = {"name": "get_weather", "content": content}
        function_id: str = (await self.john.post("/api/functions/create", body)).body["id"]
        return function_id


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def ollama() -> AsyncIterator[Ollama]:
    async with Ollama(library={"llama3.3:70b": 2}).serving() as serving:
        yield serving


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def stack(tmp_path_factory: pytest.TempPathFactory, ollama: Ollama) -> AsyncIterator[Stack]:
    folder = tmp_path_factory.mktemp("examples")
    async with (
        Upstream(models=("gpt-4", "llama3.3:70b", "words")).serving() as upstream,
        stack_in(folder, openai_base_urls=upstream.url, ollama_base_urls=ollama.url) as running,
    ):
        await running.start_redis()
        await asyncio.gather(running.start_api(), running.start_worker("relay"), running.start_worker("cpu"))
        yield running


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def server(stack: Stack) -> AsyncIterator[Server]:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        admin = await sign_up(Client(stack.url, session), "Ada")
        call = CALLS["Sign Up"]
        welcome = await Client(stack.url, session).ask(call.method, call.path, call.body.encode(), headers=call.headers)
        assert welcome.status == 201, welcome

        async def served() -> bool:
            return "gpt-4" in str((await admin.get("/api/models/")).body)

        await until(served, "the models are served")
        await admin.post("/api/configs/functions", {"user_ids": [welcome.body["user"]["id"]]})
        yield Server(admin, Client(stack.url, session, welcome.body["user"], welcome.body["token"]), welcome)
