"""Files on their way into a knowledge base while everything is killed: they end as if nobody had been.

By hand, with more: PENSTOCK_TEST_FILES=1000 PENSTOCK_TEST_KILLS=50. The kills are spread over the files: each when a drawn number of
them have ended.
"""

import asyncio
import os
import random
import signal
import struct
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing, suppress
from pathlib import Path
from typing import Any

import aiohttp
import apsw
import msgspec
import pytest
import weaviate

from core.storage.vectors.sqlite_vec import FILE
from tests.penstock.conftest import family
from tests.polling import until
from tests.proxy import Proxy, proxy_to
from tests.servers import weaviate_grpc_url
from tests.stack import Running, Stack, stack_in
from tests.survival.conftest import User, signed_up

FILES = int(os.environ.get("PENSTOCK_TEST_FILES", "20"))  # noqa: TID251 - a setting of the tests, as the next
KILLS = int(os.environ.get("PENSTOCK_TEST_KILLS", "5"))  # noqa: TID251
WAIT_S = 100 + 2 * FILES
UNDER_WAY = {"queued", "parsing", "embedding"}
KINDS = ("md", "txt", "csv", "html", "json", "pdf")
WORDS = (
    *("river", "mill", "corn", "water", "stone", "bridge", "music", "violin"),
    *("moon", "harbour", "letter", "garden", "winter", "bread", "lamp"),
)

Point = tuple[str, str, str, bytes]

pytestmark = pytest.mark.timeout(2 * WAIT_S)


def contents(number: int) -> tuple[str, bytes]:
    """A file: its name and bytes. Every sixth is broken, every fifth is longer than a passage, and some are the same."""
    draw, kind = random.Random(number // 7 * 7 if number % 7 == 3 else number), KINDS[number % len(KINDS)]
    sentences = [" ".join(draw.choices(WORDS, k=12)).capitalize() + "." for _ in range(6 if number % 5 else 30)]
    text = {
        "md": "# One\n\n" + "\n\n".join(sentences) + "\n",
        "txt": "\n\n".join(sentences),
        "csv": "word,line\n" + "".join(f"{sentence.split()[0]},{sentence}\n" for sentence in sentences),
        "html": f"<html><body><h1>One</h1>{''.join(f'<p>{sentence}</p>' for sentence in sentences)}</body></html>",
        "json": str(sentences).replace("'", '"'),
        "pdf": "%PDF-1.7\nthis is none",
    }[kind]
    return f"file-{number:04}.{kind}", text.encode()


class Stores:
    """Where a stack keeps documents and vectors: in its data folder."""

    def __init__(self) -> None:
        self.networks: Sequence[Proxy] = ()
        self.settings: dict[str, str] = {}

    def points(self, stack: Stack, knowledge_id: str) -> list[Point]:
        """(chunk id, text, file name, vector) of everything in the vector store, of which the base has all."""
        del knowledge_id
        file = stack.folder / "data" / FILE
        with closing(apsw.Connection(str(file), flags=apsw.SQLITE_OPEN_READONLY)) as connection:
            rows = connection.execute("SELECT key, text, json_extract(metadata, '$.filename'), vector FROM points_1")
            return sorted(rows)


class Servers(Stores):
    """A database of its own in MongoDB, and Weaviate, both behind networks that can be cut."""

    def __init__(self, weaviate_url: str, mongo: Proxy, http: Proxy, grpc: Proxy) -> None:
        super().__init__()
        self.networks = mongo, http, grpc
        self._url = weaviate_url
        database = mongo.url.replace("http", "mongodb") + f"/test_{uuid.uuid4().hex[:12]}"
        self.settings = {"mongo_url": database, "weaviate_url": http.url, "weaviate_grpc_url": grpc.url}

    def points(self, stack: Stack, knowledge_id: str) -> list[Point]:
        """From Weaviate itself, by its own client."""
        del stack
        http, grpc = (int(url.rpartition(":")[2]) for url in (self._url, weaviate_grpc_url(self._url)))
        with closing(weaviate.connect_to_local(port=http, grpc_port=grpc)) as client:
            tenants = [
                held.with_tenant(knowledge_id)
                for name in client.collections.list_all()
                if (held := client.collections.get(name)).config.get().multi_tenancy_config.enabled and held.tenants.exists(knowledge_id)
            ]
            return sorted(_point(found) for tenant in tenants for found in tenant.iterator(include_vector=True))


def _point(found: Any) -> Point:
    said, (vector,) = found.properties, found.vector.values()
    filename = msgspec.json.decode(said["metadata"])["filename"]
    return said["key"], said["text"], filename, struct.pack(f"<{len(vector)}f", *vector)


class Ingestion:
    """A base of a stack, and the processes that fill it."""

    def __init__(self, stack: Stack, stores: Stores, user: User, api: Running) -> None:
        self.stack = stack
        self.stores = stores
        self.user = user
        self.running = {"api": api}

    async def start(self, *names: str) -> None:
        for name in names:
            self.running[name] = await (self.stack.start_api() if name == "api" else self.stack.start_worker(name))

    async def ask(self, method: str, path: str, **body: Any) -> Any:
        """The answer, however often it has to be asked for."""

        async def answered() -> Any:
            headers = {"Authorization": f"Bearer {self.user.token}"}
            with suppress(aiohttp.ClientError, TimeoutError):
                async with (
                    aiohttp.ClientSession() as session,
                    session.request(method, self.stack.url + path, headers=headers, **body) as response,
                ):
                    if response.status < 500:
                        assert response.ok, await response.text()
                        return await response.json()
            return None

        return await until(answered, f"{method} {path} is answered", timeout_s=60)

    async def begin(self) -> str:
        """All files sent and added: the base's id."""
        base = await self.ask("POST", "/api/knowledge/create", json={"name": "Everything"})
        sent = []
        for number in range(FILES):
            name, data = contents(number)
            form = aiohttp.FormData()
            form.add_field("file", data, filename=name)
            sent.append((await self.ask("POST", "/api/files/", data=form))["id"])
        await self.ask("POST", f"/api/knowledge/{base['id']}/files/batch/add", json=[{"file_id": file_id} for file_id in sent])
        knowledge_id: str = base["id"]
        return knowledge_id

    async def files(self, knowledge_id: str) -> dict[str, str]:
        """How far each is, and of a failed one why."""
        base = await self.ask("GET", f"/api/knowledge/{knowledge_id}")
        return {file["filename"]: file["error"] or file["status"] for file in base["files"]}

    async def end(self, knowledge_id: str) -> tuple[dict[str, str], list[Point]]:
        """How each has ended, and all that can be found."""

        async def ended() -> dict[str, str] | None:
            states = await self.files(knowledge_id)
            return states if not UNDER_WAY & set(states.values()) else None

        states = await until(ended, "all files are ready or have failed", timeout_s=WAIT_S)
        return states, await asyncio.to_thread(self.stores.points, self.stack, knowledge_id)

    async def have_ended(self, knowledge_id: str, count: int) -> None:
        """Wait for so many files to be ready or to have failed."""

        async def enough() -> bool:
            return sum(state not in UNDER_WAY for state in (await self.files(knowledge_id)).values()) >= count

        await until(enough, f"{count} files are ready or have failed", timeout_s=WAIT_S)

    async def kill_one(self, draw: random.Random) -> None:
        """A process dies and is started again, those that read files die, or all connections to the stores are cut."""
        name = draw.choice(sorted([*self.running, "readers", *(["networks"] if self.stores.networks else [])]))
        if name == "networks":
            for network in self.stores.networks:
                network.cut()
        elif name == "readers":
            for pid in family(self.running["cpu"].pid):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        else:
            await self.running[name].kill()
            await self.start(name)


@asynccontextmanager
async def ingesting(folder: Path, models: Path, stores: Stores) -> AsyncIterator[Ingestion]:
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "models").symlink_to(models)
    # What a worker computes in is chosen by measuring: near the edge one that is started again might choose another way.
    async with stack_in(folder, rate_limit_per_minute=100_000, embedding_dtype="float32", **stores.settings) as stack:
        await stack.start_redis()
        api = await stack.start_api()
        async with signed_up(stack) as user:
            ingestion = Ingestion(stack, stores, user, api)
            await ingestion.start("gpu", "cpu")
            yield ingestion


@asynccontextmanager
async def made(stores: str, request: pytest.FixtureRequest) -> AsyncIterator[Stores]:
    if stores == "embedded":
        yield Stores()
        return
    mongo, vectors = request.getfixturevalue("mongo_server"), request.getfixturevalue("weaviate_url")
    async with AsyncExitStack() as stack:
        urls = mongo, vectors, weaviate_grpc_url(vectors)
        yield Servers(vectors, *[await stack.enter_async_context(proxy_to(url)) for url in urls])


@pytest.mark.parametrize("stores", ["embedded", "servers"])
async def test_files_end_in_a_base_as_if_nobody_had_been_killed(
    tmp_path: Path, made_models: Path, stores: str, request: pytest.FixtureRequest
) -> None:
    async with made(stores, request) as kept, ingesting(tmp_path / "quiet", made_models, kept) as quiet:
        states, undisturbed = await quiet.end(await quiet.begin())
    assert {states[name] for name in states if not name.endswith(".pdf")} == {"ready"}
    assert all("damaged" in states[name] for name in states if name.endswith(".pdf"))
    assert len(undisturbed) >= FILES
    draw = random.Random(1)
    async with made(stores, request) as kept, ingesting(tmp_path / "disturbed", made_models, kept) as disturbed:
        knowledge_id = await disturbed.begin()
        for count in sorted(draw.randrange(FILES) for _ in range(KILLS)):
            await disturbed.have_ended(knowledge_id, count)
            await disturbed.kill_one(draw)
        found, after = await disturbed.end(knowledge_id)
    assert found == states
    assert after == undisturbed
