"""A data folder that another build made.

``data_before_versions.tar.gz`` is one as the build before stores had versions (commit 04a1094) left it, filled over HTTP while
`penstock up` ran on it, with a worker stopped so that one question waits. Taken out since: logs, registered workers, and when the waiting
job would have been forgotten.
"""

import signal
import tarfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import apsw
import pytest

from tests.penstock.conftest import Run
from tests.polling import until
from tests.ports import free_port
from tests.upstream import Upstream

pytestmark = pytest.mark.timeout(300)

KEPT = Path(__file__).with_name("data_before_versions.tar.gz")
SHARE = "4wcqKorrjA0THmDo0eYRp8cjYieIa4CF"
KEY = "sk-077rL-wGVJM3541Vnhav0-fFkthpfflJ-Iw-2vTU90NhK5y3"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The folder, unpacked."""
    with tarfile.open(KEPT) as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path / "data"


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with Upstream().serving() as serving:
        yield serving


class Caller:
    """Somebody who calls the product."""

    def __init__(self, session: aiohttp.ClientSession, url: str, token: str = "") -> None:
        self._session = session
        self._url = url
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    async def ask(self, path: str, body: Any = None) -> Any:
        """A ``GET``, or with a body a ``POST``."""
        async with self._session.request("POST" if body else "GET", self._url + path, json=body, headers=self._headers) as response:
            assert response.status == 200, await response.text()
            return await response.json()

    async def signed_in(self, name: str) -> "Caller":
        credentials = {"email": f"{name.lower()}@example.com", "password": f"{name}'s long password"}
        return Caller(self._session, self._url, (await self.ask("/api/auths/signin", credentials))["token"])

    def by(self, key: str) -> "Caller":
        return Caller(self._session, self._url, key)


async def test_a_data_folder_of_the_build_before_versions_opens(penstock: Run, data: Path, upstream: Upstream) -> None:
    port = free_port()
    up = penstock("up", "--port", str(port), "--data-dir", str(data), openai_base_urls=upstream.url)
    await up.start()
    await up.says(f"Penstock answers at http://127.0.0.1:{port}")
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        visitor = Caller(session, f"http://127.0.0.1:{port}")
        ada, bob = await visitor.signed_in("Ada"), await visitor.signed_in("Bob")
        chats = {chat["title"]: chat["id"] for chat in await bob.ask("/api/chats/")}
        assert set(chats) == {"Trip to Norway", "A tree", "Put away"}
        assert [chat["title"] for chat in await bob.ask("/api/chats/archived")] == ["Put away"]
        assert [chat["title"] for chat in await bob.ask("/api/chats/pinned")] == ["A tree"]
        for words, title in (("straße", "Trip to Norway"), ("ferry", "Trip to Norway"), ("picture", "A tree"), ("NOTHING", "Put away")):
            assert [chat["title"] for chat in await bob.ask(f"/api/chats/search?text={words}")] == [title]
        trip = await bob.ask(f"/api/chats/{chats['Trip to Norway']}")
        question = "And how long does it take by ferry?"
        assert [message["content"] for message in trip["chat"]["messages"]][-2:] == [question, question], "and its echo"
        assert (await ada.ask(f"/api/chats/share/{SHARE}"))["title"] == "Trip to Norway"
        assert [chat["id"] for chat in await visitor.by(KEY).ask("/api/chats/")] == list(chats.values())
        assert (await ada.ask("/api/configs/rate_limits"))["requests_per_minute"] == 4321
        assert [model["id"] for model in await bob.ask("/api/models/custom")] == ["pirate"]

        async def answered() -> bool:
            history = (await bob.ask(f"/api/chats/{chats['A tree']}"))["chat"]["history"]
            return bool(history["messages"][history["currentId"]]["content"] == "Who waits here for an answer?")

        await until(answered, "what waited is answered")
    assert await up.end(signal.SIGTERM) == 0
    assert up.errors == ""


async def test_a_data_folder_of_a_newer_build_is_refused_in_one_line(penstock: Run, data: Path) -> None:
    up = penstock("up", "--port", str(free_port()), "--data-dir", str(data))
    with apsw.Connection(str(data / "penstock.db")) as connection:
        connection.execute("CREATE TABLE versions (key TEXT PRIMARY KEY NOT NULL, body TEXT NOT NULL)")
        connection.execute("""INSERT INTO versions VALUES ('store', '{"_id": "store", "version": 99}')""")
    await up.start()
    assert await up.end() == 2
    assert up.errors.count("\n") == 1
    assert up.errors.startswith(f"penstock: The data folder {data} was made by a newer Penstock: its version is 99")
    assert up.output == "", "nothing was started"
    assert "Update Penstock, or choose another folder" in up.errors
