import asyncio
import os
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest

from core.errors import SettingsError, Unavailable
from core.ids import new_id
from core.storage.blobs.folder import DRAFTS, FolderBlobs
from core.storage.blobs.port import ABANDONED_S


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "files"


@pytest.fixture
async def blobs(folder: Path) -> AsyncIterator[FolderBlobs]:
    opened = FolderBlobs(folder)
    await opened.setup()
    yield opened
    await opened.close()


async def one(data: bytes) -> AsyncGenerator[bytes, None]:
    yield data


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


async def test_a_file_lies_two_folders_deep_and_is_its_owners_alone(blobs: FolderBlobs, folder: Path) -> None:
    blob_id = new_id()
    await blobs.write(blob_id, one(b"x"))
    path = folder / blob_id[-2:] / blob_id[-4:-2] / blob_id
    assert files(folder) == [path]
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o077 == 0


async def test_nothing_has_its_name_before_all_of_it_is_there(blobs: FolderBlobs, folder: Path) -> None:
    seen = []

    async def looking() -> AsyncGenerator[bytes, None]:
        yield b"x"
        seen.extend(await asyncio.to_thread(files, folder))

    blob_id = new_id()
    await blobs.write(blob_id, looking())
    assert seen == [folder / DRAFTS / blob_id]
    assert files(folder / DRAFTS) == []


async def test_what_killed_processes_had_begun_is_thrown_away_at_a_start_but_not_what_is_being_written(folder: Path) -> None:
    (folder / DRAFTS).mkdir(parents=True)
    old, young = folder / DRAFTS / new_id(), folder / DRAFTS / new_id()
    for path in (old, young):
        path.write_bytes(b"begun")
    os.utime(old, (0, time.time() - ABANDONED_S - 1))
    blobs = FolderBlobs(folder)
    await blobs.setup()
    await blobs.close()
    assert files(folder) == [young]


async def test_what_is_deleted_while_it_is_read_is_read_to_its_end(blobs: FolderBlobs) -> None:
    blob_id, data = new_id(), b"x" * 1_000_000
    await blobs.write(blob_id, one(data))
    async with aclosing(blobs.read(blob_id)) as pieces:
        begun = await anext(pieces)
        await blobs.delete(blob_id)
        assert begun + b"".join([piece async for piece in pieces]) == data


async def test_a_folder_that_cannot_be_used_is_named() -> None:
    blobs = FolderBlobs(Path(__file__))
    with pytest.raises(SettingsError, match="PENSTOCK_DATA_DIR"):
        await blobs.setup()
    await blobs.close()


async def test_a_full_disk_is_told_and_leaves_nothing(blobs: FolderBlobs, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("core.storage.blobs.folder.os.write", full)
    with pytest.raises(Unavailable, match="disk of the data folder is full"):
        await blobs.write(new_id(), one(b"x"))
    monkeypatch.undo()
    assert files(folder) == []
