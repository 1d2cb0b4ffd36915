"""Files are read by a worker's children, from the upload to the text, and told of as they are."""

import asyncio
import io
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import msgspec
import openpyxl
import pytest

from core.errors import NotFound
from core.jobs import PARSE
from core.models.documents import DocumentRecord, Element, ElementKind, ParsedDocument
from core.models.files import FileStatus
from core.services import Services
from core.services.files import documents as module
from core.settings import Settings
from tests.api.conftest import Client, ada, bob, visitor
from tests.polling import until
from tests.serving import app, quick_passwords, services, url
from tests.worker_parts import WorkerParts, working
from workers.actors.parsing import LIMITS, Parsing
from workers.children import Children

__all__ = ["ada", "app", "bob", "quick_passwords", "services", "url", "visitor"]

TEXT = b"The aqueduct carries water.\n\nThe mill grinds corn."


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return msgspec.structs.replace(settings, rate_limit_per_minute=0)


@pytest.fixture
async def worker(services: Services) -> AsyncIterator[WorkerParts]:
    """A worker of the CPU pool, in this process; its children are real."""
    async with Children(LIMITS, 2) as children:
        actor = Parsing(files=services.files, documents=services.documents, children=children)
        async with working(services, "here", {PARSE: actor}) as worker:
            yield worker


async def send(client: Client, name: str, data: bytes) -> dict[str, Any]:
    """What is answered to an upload."""
    form = aiohttp.FormData()
    form.add_field("file", io.BytesIO(data), filename=name)
    async with client.session.post(f"{client.url}/api/files/", data=form, headers=client.headers) as response:
        assert response.status == 201, await response.text()
        answer: dict[str, Any] = await response.json()
        return answer


async def outcome(client: Client, file_id: str) -> dict[str, Any]:
    """What a file's ``data`` says once it has been read."""

    async def read() -> dict[str, Any] | None:
        data: dict[str, Any] = (await client.get(f"/api/files/{file_id}")).body["data"]
        return data if data["status"] != FileStatus.PENDING else None

    return await until(read, "the file is read", timeout_s=60)


async def content(client: Client, file_id: str) -> str:
    """Its text."""
    text: str = (await client.get(f"/api/files/{file_id}/data/content")).body["content"]
    return text


def sheet() -> bytes:
    """A workbook with a formula that nobody has calculated."""
    book = openpyxl.Workbook()
    assert book.active
    book.active.append(["year", "litres"])
    book.active.append([97, "=1+1"])
    written = io.BytesIO()
    book.save(written)
    return written.getvalue()


@pytest.mark.usefixtures("worker")
async def test_a_file_is_read_and_its_text_is_its_owners_alone(bob: Client, ada: Client, visitor: Client) -> None:
    sent = await send(bob, "notes.txt", TEXT)
    assert sent["data"] == {"status": "pending"}
    assert await outcome(bob, sent["id"]) == {"status": "completed"}
    assert await content(bob, sent["id"]) == TEXT.decode()
    assert await content(ada, sent["id"]) == TEXT.decode()  # an administrator's
    assert (await visitor.get(f"/api/files/{sent['id']}/data/content")).status == 401


@pytest.mark.usefixtures("worker")
async def test_what_could_not_be_read_is_named(bob: Client) -> None:
    sent = await send(bob, "water.xlsx", sheet())
    data = await outcome(bob, sent["id"])
    assert data["status"] == "completed"
    assert any("formula" in sentence for sentence in data["missing"]), data
    assert "litres" in await content(bob, sent["id"])


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize(
    ("name", "data", "words"),
    [("broken.pdf", b"%PDF-1.7\n1 0 obj\n<<", ""), ("blank.txt", b" \n\n ", "empty"), ("noise.bin", bytes(range(256)) * 8, "")],
)
async def test_what_cannot_be_read_fails_with_its_reason(bob: Client, name: str, data: bytes, words: str) -> None:
    sent = await send(bob, name, data)
    found = await outcome(bob, sent["id"])
    assert (found["status"], len(found["error"]) > 10, words in found["error"]) == ("failed", True, True), found
    assert await content(bob, sent["id"]) == ""


@pytest.mark.usefixtures("worker")
async def test_the_same_bytes_are_read_once_and_kept_until_the_last_file_of_them_goes(
    bob: Client, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await send(bob, "one.txt", TEXT)
    await outcome(bob, first["id"])

    async def again(*_: object) -> None:
        message = "it was kept again"
        raise AssertionError(message)

    monkeypatch.setattr(module.Documents, "keep", again)
    second = await send(bob, "two.txt", TEXT)
    assert await outcome(bob, second["id"]) == {"status": "completed"}
    file = await services.files.find(second["id"])
    assert file
    record = await services.documents.find(file)
    assert record
    await bob.delete(f"/api/files/{first['id']}")
    assert await content(bob, second["id"]) == TEXT.decode()
    await bob.delete(f"/api/files/{second['id']}")
    assert await services.documents.find(file) is None
    with pytest.raises(NotFound):
        await services.documents.read(record)


async def test_a_file_that_was_deleted_before_its_turn_leaves_nothing(bob: Client, services: Services) -> None:
    sent = await send(bob, "notes.txt", TEXT)
    file = await services.files.find(sent["id"])
    assert file
    await bob.delete(f"/api/files/{sent['id']}")
    async with Children(LIMITS, 1) as children:
        actor = Parsing(files=services.files, documents=services.documents, children=children)
        async with working(services, "here", {PARSE: actor}):

            async def ended() -> bool:
                return await services.claims.state(f"parse-{file.id}") == "finished"

            await until(ended, "its job has ended")
    assert await services.documents.find(file) is None


async def test_what_was_kept_by_somebody_who_was_stopped_can_be_read(
    bob: Client, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = await send(bob, "notes.txt", TEXT)
    file, rows = await services.files.find(sent["id"]), services.documents._rows
    assert file
    insert, started, released = rows.insert, asyncio.Event(), asyncio.Event()

    async def late(record: DocumentRecord) -> None:
        await released.wait()
        await insert(record)

    async def on_a_thread(record: DocumentRecord) -> None:
        """As a store writes: whoever waits for it may go, it goes on."""
        started.set()
        await asyncio.shield(asyncio.ensure_future(late(record)))

    monkeypatch.setattr(rows, "insert", on_a_thread)
    document = ParsedDocument(format="txt", elements=(Element(kind=ElementKind.TEXT, text="Water."),), characters=6)
    keeping = asyncio.create_task(services.documents.keep(file, msgspec.json.encode(document), document))
    await started.wait()
    keeping.cancel()
    await asyncio.wait((keeping,), timeout=0.2)
    released.set()
    with pytest.raises(asyncio.CancelledError):
        await keeping
    await until(lambda: services.documents.find(file), "the row is written")
    record = await services.documents.find(file)
    assert record
    assert await services.documents.read(record) == document
