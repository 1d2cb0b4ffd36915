"""What is promised of the embedded store beyond the port."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import apsw
import pytest

from core.errors import BadRequest, SettingsError, Unavailable
from core.settings import Settings
from core.storage import COLLECTIONS, chats, messages, open_records, users
from core.storage.records.port import Collection, Contains, Filter, In, Index, Order, Record
from core.storage.records.sqlite import FILE, SqliteRecords
from core.storage.records.sqlite_sql import conditions, ordering

ROOT = Path(__file__).parents[4]
THINGS = Collection("things", indexes=(Index(("number",)),))

ADDING = """
import asyncio, sys
from pathlib import Path
from core.storage.records.port import Record
from core.storage.records.sqlite import SqliteRecords
from tests.core.storage.records.test_sqlite import THINGS

async def main():
    store = await SqliteRecords.open(Path(sys.argv[1]))
    await store.setup([THINGS])
    for _ in range(int(sys.argv[2])):
        while True:
            thing = await store.get(THINGS, "counter", Record)
            version = thing["number"]
            if await store.update(THINGS, "counter", {"number": version + 1}, where={"number": version}):
                print(version + 1, flush=True)
                break
    await store.close()

asyncio.run(main())
"""


OPENING = """
import asyncio, sys
from pathlib import Path
from core.storage.records.sqlite import SqliteRecords

async def main():
    for folder in sorted(Path(sys.argv[1]).iterdir()):
        sys.stdin.readline()
        await (await SqliteRecords.open(folder)).close()
        print(folder.name, flush=True)

asyncio.run(main())
"""


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteRecords]:
    opened = await SqliteRecords.open(tmp_path)
    await opened.setup([THINGS])
    yield opened
    await opened.close()


async def adding(folder: Path, times: int) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", ADDING, str(folder), str(times), cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )


async def test_several_processes_write_at_once_and_lose_nothing(store: SqliteRecords, tmp_path: Path) -> None:
    await store.insert(THINGS, [{"_id": "counter", "number": 0}])
    processes = [await adding(tmp_path, 40) for _ in range(3)]
    printed = [(await process.communicate())[0].split() for process in processes]
    assert sorted(int(number) for lines in printed for number in lines) == list(range(1, 121))
    assert await store.get(THINGS, "counter", Record) == {"_id": "counter", "number": 120}


async def test_processes_that_open_a_new_store_at_the_same_moment_all_get_it(tmp_path: Path) -> None:
    names = [f"{number:02}" for number in range(40)]
    for name in names:
        (tmp_path / name).mkdir()
    command = (sys.executable, "-c", OPENING, str(tmp_path))
    pipe = asyncio.subprocess.PIPE
    processes = [await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdin=pipe, stdout=pipe) for _ in range(4)]
    for name in names:
        for process in processes:
            assert process.stdin is not None
            process.stdin.write(b"\n")
        for process in processes:
            assert process.stdout is not None
            assert (await process.stdout.readline()).decode().strip() == name
    assert [await process.wait() for process in processes] == [0] * 4


async def test_what_was_confirmed_survives_a_kill(store: SqliteRecords, tmp_path: Path) -> None:
    await store.insert(THINGS, [{"_id": "counter", "number": 0}])
    process = await adding(tmp_path, 1_000_000)
    assert process.stdout is not None
    for _ in range(50):
        await process.stdout.readline()
    process.kill()
    confirmed = [int(number) for number in (await process.communicate())[0].split()]
    thing = await store.get(THINGS, "counter", Record)
    assert thing is not None
    assert thing["number"] >= max(confirmed, default=50)


async def test_reading_does_not_wait_for_another_processes_writing_and_writing_does(store: SqliteRecords, tmp_path: Path) -> None:
    await store.insert(THINGS, [{"_id": "1", "number": 1}])
    other = apsw.Connection(str(tmp_path / FILE))
    other.execute("BEGIN IMMEDIATE")
    writing = asyncio.create_task(store.update(THINGS, "1", {"number": 2}))
    async with asyncio.timeout(5):
        for _ in range(20):
            assert await store.get(THINGS, "1", Record) == {"_id": "1", "number": 1}
    assert not writing.done()
    other.execute("COMMIT")
    assert await writing
    other.close()


async def test_a_full_disk_is_said_and_takes_nothing_that_was_stored(store: SqliteRecords) -> None:
    await store.insert(THINGS, [{"_id": "1", "number": 1}])
    pages = await store._writer.call(lambda connection: connection.pragma("page_count"))
    await store._writer.call(lambda connection: connection.pragma("max_page_count", pages + 2))
    small, large = {"_id": "2", "number": 2}, {"_id": "3", "text": "x" * 100_000}
    results = await asyncio.gather(store.insert(THINGS, [small]), store.insert(THINGS, [large]), return_exceptions=True)
    assert results[0] is None
    assert isinstance(results[1], Unavailable)
    assert "disk" in results[1].detail
    assert await store.count(THINGS, {}) == 2
    await store._writer.call(lambda connection: connection.pragma("max_page_count", 1_000_000))
    await store.insert(THINGS, [large])


async def test_the_file_is_its_owners_alone(store: SqliteRecords, tmp_path: Path) -> None:
    await store.insert(THINGS, [{"_id": "1"}])
    for name in (FILE, f"{FILE}-wal", f"{FILE}-shm"):
        assert os.stat(tmp_path / name).st_mode & 0o777 == 0o600  # noqa: PTH116 - the same as Path.stat


@pytest.mark.parametrize(
    ("collection", "where", "order"),
    [
        (users.COLLECTION, {"email": "a@b.de"}, None),
        (chats.COLLECTION, {"user_id": "u"}, Order("touched", descending=True)),
        (chats.COLLECTION, {"user_id": "u"}, Order("touched", descending=True, after=(5, "k"))),
        (chats.COLLECTION, {"user_id": "u", "pinned": True}, Order("touched", descending=True)),
        (chats.COLLECTION, {"user_id": "u", "archived": False}, Order("touched", descending=True, after=(5, "k"))),
        (chats.COLLECTION, {"user_id": "u", "pinned": False, "archived": True}, Order("touched", descending=True)),
        (messages.COLLECTION, {"chat_id": "c"}, Order("position")),
        (messages.COLLECTION, {"chat_id": In(("c", "d")), "text": Contains("x")}, None),
    ],
)
async def test_what_is_asked_often_is_answered_by_an_index_alone(
    store: SqliteRecords, collection: Collection, where: Filter, order: Order | None
) -> None:
    await store.setup(COLLECTIONS)
    test, bindings = conditions(where, order)
    sql = f'EXPLAIN QUERY PLAN SELECT body FROM "{collection.name}" WHERE {test}{ordering(order)}'  # noqa: S608
    plan = str(await store._reader.call(lambda connection: connection.execute(sql, bindings).fetchall()))
    assert "USING INDEX" in plan
    assert "TEMP B-TREE" not in plan


@pytest.mark.parametrize("depth", [500, 900, 1_100, 3_000, 100_000])
async def test_json_is_stored_at_any_depth_or_refused(store: SqliteRecords, depth: int) -> None:
    nested: list[object] = []
    for _ in range(depth):
        nested = [nested]
    try:
        await store.insert(THINGS, [{"_id": "1", "nested": nested}])
    except BadRequest as error:
        assert "nested" in error.detail  # noqa: PT017 - both are right
        assert depth > 500
    else:
        assert await store.count(THINGS, {"_id": "1"}) == 1
    await store.insert(THINGS, [{"_id": "2"}])


async def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    await asyncio.to_thread(blocked.touch)
    with pytest.raises(SettingsError, match="PENSTOCK_DATA_DIR"):
        async with open_records(Settings(data_dir=blocked / "data")):
            pass


async def test_a_damaged_file_is_said(tmp_path: Path) -> None:
    await asyncio.to_thread((tmp_path / FILE).write_bytes, os.urandom(10_000))
    with pytest.raises(Unavailable, match="damaged"):
        async with open_records(Settings(data_dir=tmp_path)):
            pass


async def test_a_closed_store_says_so(tmp_path: Path) -> None:
    async with open_records(Settings(data_dir=tmp_path)) as records:
        await records.ping()
    with pytest.raises(Unavailable, match="closed"):
        await records.ping()


async def test_what_is_written_is_seen_by_the_next_reading_however_many_are_under_way(store: SqliteRecords) -> None:
    async def write_and_read(key: str) -> None:
        for number in range(20):
            await store.put(THINGS, [{"_id": key, "number": number}])
            assert await store.get(THINGS, key, Record) == {"_id": key, "number": number}

    await asyncio.gather(*(write_and_read(str(writer)) for writer in range(20)))


async def test_a_caller_who_is_cancelled_harms_nobody(store: SqliteRecords) -> None:
    tasks = [asyncio.create_task(store.put(THINGS, [{"_id": str(number), "number": number}])) for number in range(50)]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert await store.count(THINGS, {}) >= 25
