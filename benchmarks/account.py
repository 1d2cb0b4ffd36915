"""A user of a running product, and what is made for them before anything is measured."""

import asyncio
from pathlib import Path
from typing import Any, Self

import aiohttp
import msgspec

IMPORT_AT_ONCE = 1_000

_encode = msgspec.json.encode


class Account:
    """Somebody signed in; ``url`` is the server's that is asked."""

    def __init__(self, session: aiohttp.ClientSession, url: str, token: str) -> None:
        self.url = url
        self.token = token
        self._session = session

    @classmethod
    async def join(cls, session: aiohttp.ClientSession, url: str, name: str) -> Self:
        """A newcomer's."""
        newcomer = {"name": name, "email": f"{name}@example.com", "password": "correct horse battery"}
        async with session.post(f"{url}/api/auths/signup", json=newcomer) as response:
            assert response.ok, await response.text()
            return cls(session, url, (await response.json())["token"])

    def at(self, url: str) -> Self:
        """The same user, asking another server."""
        return type(self)(self._session, url, self.token)

    async def ask(self, path: str, body: bytes | None = None) -> bytes:
        """What is answered to a GET, or to what is posted."""
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        async with self._session.request("GET" if body is None else "POST", self.url + path, data=body, headers=headers) as response:
            assert response.ok, await response.text()
            return await response.read()

    async def upload(self, path: str, file: Path) -> dict[str, Any]:
        """What is answered to a form with a file."""
        form = aiohttp.FormData()
        form.add_field("file", await asyncio.to_thread(file.read_bytes), filename=file.name, content_type="text/markdown")
        async with self._session.post(self.url + path, data=form, headers={"Authorization": f"Bearer {self.token}"}) as response:
            assert response.ok, await response.text()
            answer: dict[str, Any] = await response.json()
            return answer

    async def create(self, chat: dict[str, Any]) -> str:
        """A chat's id."""
        return str(msgspec.json.decode(await self.ask("/api/chats/new", _encode({"chat": chat})))["id"])

    async def fill(self, many: int) -> None:
        """That many chats without messages."""
        chats = [{"chat": {"title": f"Chat {number}", "messages": []}} for number in range(many)]
        for start in range(0, many, IMPORT_AT_ONCE):
            await self.ask("/api/chats/import", _encode(chats[start : start + IMPORT_AT_ONCE]))
