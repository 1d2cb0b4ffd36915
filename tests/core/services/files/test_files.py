"""The service of files, over every place for rows and bytes."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest

from core.errors import NotFound, TooLarge, Unauthenticated, Unavailable, UnsupportedType
from core.jobs.results import Results
from core.models.files import File, FileStatus
from core.models.users import Credentials, Principal
from core.services.files.files import BYTES_PER_MB, Files, ListFiles
from core.services.files.processing import Processing
from core.settings import Settings
from core.storage import open_blobs
from core.storage.files import Files as FileRows
from core.storage.records.port import Records
from core.storage.users import Users as UserRows
from tests.core.services.people import ADMIN, ME, STRANGER
from tests.job_backend import JobBackend


class Sent:
    """A file as a face hands it over."""

    def __init__(self, data: bytes = b"Hello!", filename: str = "a.txt", piece: int = 1_000) -> None:
        self.filename = filename
        self.metadata: dict[str, Any] = {}
        self._data = data
        self._piece = piece

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        for start in range(0, len(self._data), self._piece):
            yield self._data[start : start + self._piece]
        self.metadata = {"said": "at the end"}


@pytest.fixture
async def files(records: Records, store_settings: Settings, backend: JobBackend) -> AsyncIterator[Files]:
    users = UserRows(records)
    for person in (ADMIN, ME, STRANGER):
        await users.add(person.user, Credentials(id=person.id, password_hash="x"))
    async with open_blobs(store_settings) as blobs:
        processing = Processing(backend.queue, backend.claims, Results(backend.scripts), backend.log)
        yield Files(FileRows(records), blobs, users, processing, max_mb=1, types=())


async def read(files: Files, file: File) -> bytes:
    async with aclosing(files.read(file)) as pieces:
        return b"".join([piece async for piece in pieces])


async def owned(files: Files, principal: Principal = ME) -> list[File]:
    return (await files.list(principal, ListFiles()))[0]


async def test_a_file_is_kept_with_what_was_said_of_it(files: Files) -> None:
    file = await files.upload(ME, Sent(b"Hello!", "../notes.md"))
    assert (file.filename, file.content_type, file.size, file.status) == ("notes.md", "text/markdown", 6, FileStatus.PENDING)
    assert file.metadata == {"said": "at the end"}
    assert await files.get(ME, file.id) == await files.get(ADMIN, file.id) == await files.find(file.id) == file
    assert await read(files, file) == b"Hello!"
    with pytest.raises(NotFound):
        await files.get(STRANGER, file.id)


@pytest.mark.parametrize("piece", [1, 1_000, BYTES_PER_MB])
async def test_what_it_is_is_known_in_whatever_pieces_it_comes(files: Files, piece: int) -> None:
    data = b"%PDF-1.7" + bytes(100 if piece == 1 else 200_000)
    assert (await files.upload(ME, Sent(data, "a.txt", piece))).content_type == "application/pdf"


async def test_one_that_is_too_large_or_of_another_type_leaves_nothing(files: Files) -> None:
    with pytest.raises(TooLarge, match="larger than 1 MB"):
        await files.upload(ME, Sent(bytes(BYTES_PER_MB + 1)))
    files._types = ("image/*",)
    for data in (b"Hello!", b"x" * 100_000):
        with pytest.raises(UnsupportedType, match=r"is text/plain, which is not taken here: only image/\*"):
            await files.upload(ME, Sent(data, "a.png"))
    assert await owned(files) == []


async def test_the_same_bytes_are_two_files_that_know_of_each_other(files: Files) -> None:
    mine, theirs = await files.upload(ME, Sent()), await files.upload(STRANGER, Sent(filename="b.txt"))
    assert list(await files.same_bytes(mine)) == list(await files.same_bytes(theirs)) == [mine, theirs]
    await files.delete(ME, mine.id)
    assert await read(files, theirs) == b"Hello!"


async def test_what_was_made_of_a_file_goes_before_it(files: Files) -> None:
    file = await files.upload(ME, Sent())
    forgotten: list[bytes] = []

    async def forget(going: File) -> None:
        forgotten.append(await read(files, going))

    files.on_delete.append(forget)
    with pytest.raises(NotFound):
        await files.delete(STRANGER, file.id)
    await files.delete(ME, file.id)
    assert forgotten == [b"Hello!"]
    with pytest.raises(NotFound, match="bytes are not there"):
        await read(files, file)


async def test_a_deletion_that_breaks_off_can_be_asked_for_again(files: Files) -> None:
    file = await files.upload(ME, Sent())

    async def fail(_: File) -> None:
        raise ConnectionError

    files.on_delete.append(fail)
    with pytest.raises(ConnectionError):
        await files.delete(ME, file.id)
    assert await owned(files) == [file]
    files.on_delete.clear()
    await files._blobs.delete(file.id)
    await files.delete(ME, file.id)
    assert await owned(files) == []


async def test_a_users_files_are_all_taken_away(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.services.files.files.AT_ONCE", 2)
    mine = [await files.upload(ME, Sent()) for _ in range(5)]
    theirs = await files.upload(STRANGER, Sent())
    await files.remove_user(ME.id)
    await files.remove_user(ME.id)
    assert (await owned(files), await owned(files, STRANGER)) == ([], [theirs])
    assert not any([await files._blobs.exists(file.id) for file in mine])


@pytest.mark.parametrize("is_back", [True, False])
async def test_a_row_that_may_have_been_written_before_the_store_went_away_has_bytes_or_is_not_there(
    files: Files, monkeypatch: pytest.MonkeyPatch, *, is_back: bool
) -> None:
    insert = files._rows.insert

    async def away(_: object) -> bool:
        message = "The store is away."
        raise Unavailable(message)

    async def doubtful(file: File) -> None:
        await insert(file)
        await away(file)

    with monkeypatch.context() as patched:
        patched.setattr(files._rows, "insert", doubtful)
        if not is_back:
            patched.setattr(files._rows, "remove", away)
        with pytest.raises(Unavailable):
            await files.upload(ME, Sent())
    left = await owned(files)
    assert [await read(files, file) for file in left] == ([] if is_back else [b"Hello!"])


async def test_who_was_deleted_meanwhile_keeps_nothing(files: Files) -> None:
    assert await files._users.remove(ME.id, role=ME.user.role)
    with pytest.raises(Unauthenticated):
        await files.upload(ME, Sent())
    assert await owned(files) == []


async def test_a_worker_says_what_has_become_of_its_text(files: Files) -> None:
    file = await files.upload(ME, Sent())
    assert await files.set_status(file.id, FileStatus.FAILED, error="There is no text in it.")
    found = await files.get(ME, file.id)
    assert (found.status, found.error) == (FileStatus.FAILED, "There is no text in it.")
    await files.delete(ME, file.id)
    assert not await files.set_status(file.id, FileStatus.COMPLETED)
