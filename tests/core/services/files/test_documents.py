"""Documents where the store goes away in the middle: what a row names has its bytes, and what none names has gone."""

from collections.abc import AsyncIterator

import msgspec
import pytest

from core.errors import Unavailable
from core.ids import new_id
from core.models.documents import DocumentRecord, Element, ElementKind, ParsedDocument
from core.models.files import File
from core.services.files.documents import Documents
from core.settings import Settings
from core.storage import open_blobs
from core.storage.documents import Documents as DocumentRows
from core.storage.files import Files as FileRows
from core.storage.records.port import Records

FILE = File(
    id=new_id(), user_id="u", filename="a.txt", content_type="text/plain", size=6, hash="0" * 64, created_at=1, updated_at=1, metadata={}
)
DOCUMENT = ParsedDocument(format="txt", elements=(Element(kind=ElementKind.TEXT, text="Water."),), characters=6)
AWAY = "The store is away."


class Rows(DocumentRows):
    """``writes``: whether the row is written before the store goes away; ``back``: whether the store is there again afterwards."""

    def __init__(self, records: Records) -> None:
        super().__init__(records)
        self.writes = True
        self.fails = True
        self.back = True
        self.tried: list[str] = []

    async def insert(self, document: DocumentRecord) -> None:
        self.tried.append(document.blob_id)
        if self.writes:
            await super().insert(document)
        if self.fails:
            raise Unavailable(AWAY)

    async def get(self, document_id: str) -> DocumentRecord | None:
        if not self.back:
            raise Unavailable(AWAY)
        return await super().get(document_id)


@pytest.fixture
def rows(records: Records) -> Rows:
    return Rows(records)


@pytest.fixture
async def documents(records: Records, rows: Rows, store_settings: Settings) -> AsyncIterator[Documents]:
    async with open_blobs(store_settings) as blobs:
        yield Documents(rows, FileRows(records), blobs)


async def keep(documents: Documents) -> None:
    await documents.keep(FILE, msgspec.json.encode(DOCUMENT), DOCUMENT)


async def read(documents: Documents) -> ParsedDocument:
    record = await documents.find(FILE)
    assert record
    return await documents.read(record)


async def test_a_row_that_was_written_before_the_store_went_away_has_its_bytes(documents: Documents) -> None:
    await keep(documents)
    assert await read(documents) == DOCUMENT


async def test_where_it_was_not_written_nothing_stays(documents: Documents, rows: Rows) -> None:
    rows.writes = False
    with pytest.raises(Unavailable, match=AWAY):
        await keep(documents)
    assert [await documents._blobs.exists(blob_id) for blob_id in rows.tried] == [False]
    assert await documents.find(FILE) is None


async def test_while_nobody_knows_whether_it_was_written_its_bytes_stay(documents: Documents, rows: Rows) -> None:
    rows.back = False
    with pytest.raises(Unavailable, match=AWAY):
        await keep(documents)
    rows.back = True
    assert await read(documents) == DOCUMENT


async def test_of_two_that_keep_the_same_the_first_stays(documents: Documents, rows: Rows) -> None:
    rows.fails = False
    await keep(documents)
    await keep(documents)
    assert [await documents._blobs.exists(blob_id) for blob_id in rows.tried] == [True, False]
    assert await read(documents) == DOCUMENT
