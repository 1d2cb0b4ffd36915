"""Stores that other builds made: older ones are upgraded once, whatever becomes of who does it; newer ones are refused."""

import asyncio
import os
import sys
import threading
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from core.errors import SettingsError
from core.models.jobs import JobStatus
from core.settings import Settings
from core.storage import messages, open_records, users, versions
from core.storage.generations import COLLECTION as GENERATIONS
from core.storage.generations import Generations
from core.storage.messages import Messages
from core.storage.pulls import COLLECTION as PULLS
from core.storage.pulls import Pulls
from core.storage.records.port import Contains, Record, Records
from core.storage.users import Users
from core.storage.versions import COLLECTION, STORE, UPGRADES, Step
from tests.polling import until

ROOT = Path(__file__).parents[3]
OPENING = """
import asyncio, sys
import msgspec
from core.settings import Settings
from core.storage import open_records, versions

async def main():
    settings = msgspec.convert({"data_dir": sys.argv[1], "mongo_url": sys.argv[2]}, Settings, dec_hook=lambda kind, value: kind(value))
    versions.ROWS = 2
    async with open_records(settings):
        pass

asyncio.run(main())
"""


def message(number: int, **more: Any) -> Record:
    """A message as it was stored before messages were searched."""
    return {
        "_id": f"chat/{number:04}",
        "id": f"{number:04}",
        "chat_id": "chat",
        "position": number,
        "role": "user",
        "content": f"Die STRASSE Nummer {number}",
        "timestamp": 1,
        "extra": {},
        "posted": {},
        "version": 1,
        **more,
    }


@asynccontextmanager
async def before_versions(settings: Settings, count: int) -> AsyncGenerator[Records, None]:
    """A store without a note, and with messages that nothing finds."""
    async with open_records(settings) as records:
        await records.insert(messages.COLLECTION, [message(number) for number in range(count)])
        await records.delete(COLLECTION, {"_id": STORE})
        yield records


async def found(records: Records, text: str = "straße nummer") -> int:
    """How many messages hold a text."""
    return await records.count(messages.COLLECTION, {"text": Contains(text)})


async def test_what_was_stored_before_there_were_fields_to_search_is_found(store_settings: Settings) -> None:
    parts = [{"type": "text", "text": "Look at this"}, {"type": "image_url", "image_url": {"url": "data:"}}]
    person = {"name": "Žofie", "email": "zofie@example.com", "role": "user", "created_at": 1, "updated_at": 1, "last_active_at": 1}
    async with before_versions(store_settings, 3) as records:
        await records.insert(messages.COLLECTION, [message(3, chat_id="other", content=parts)])
        await records.insert(users.COLLECTION, [{"_id": "u", "id": "u", "seat": "first", "password_hash": "", **person}])
        assert await found(records) == 0
    async with open_records(store_settings) as records:
        rows = Messages(records)
        assert await rows.find_chats_holding(("chat", "other"), "straße nummer 2") == {"chat"}
        assert await rows.find_chats_holding(("chat", "other"), "LOOK AT") == {"other"}
        assert [one.content for one in await rows.of_chat("chat")] == [message(number)["content"] for number in range(3)]
        assert [user.name for user in await Users(records).find("ŽOFIE")] == ["Žofie"]


async def test_what_waited_or_ran_is_in_progress(store_settings: Settings) -> None:
    asked = {"user_id": "u", "chat_id": "chat", "message_id": "m", "model": "echo", "created_at": 1}
    pull = {"user_id": "u", "name": "tiny", "source": None, "upstream": "", "created_at": 1, "updated_at": 1}
    async with before_versions(store_settings, 0) as records:
        ways = ("queued", "running", "failed")
        await records.insert(GENERATIONS, [{"_id": way, "id": way, "status": way, **asked} for way in ways])
        await records.insert(PULLS, [{"_id": way, "id": way, "status": way, "slot": way, **pull} for way in ways])
    async with open_records(store_settings) as records:
        assert {one.id for one in await Generations(records).running("chat")} == {"queued", "running"}
        states = {one.id: one.status for one in await Pulls(records).recent(10)}
    waits = JobStatus.IN_PROGRESS
    assert states == {"queued": waits, "running": waits, "failed": JobStatus.FAILED}


async def test_many_rows_are_changed_some_at_a_time(store_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(versions, "ROWS", 2)
    monkeypatch.setattr(versions, "LOOKED_AT", 7)
    async with before_versions(store_settings, 40) as records:
        for number in range(9, 28):  # some are as they should be
            await records.update(messages.COLLECTION, message(number)["_id"], {"text": "new"})
    async with open_records(store_settings) as records:
        assert (await found(records), await found(records, "new")) == (21, 19)


async def test_of_several_processes_one_upgrades_and_the_others_wait(atomic_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(versions, "ROWS", 2)
    changed = counted(monkeypatch)
    async with before_versions(atomic_settings, 20):
        pass

    async def opening() -> int:
        async with open_records(atomic_settings) as records:
            return await found(records)

    assert await asyncio.gather(*(opening() for _ in range(4))) == [20] * 4
    assert len(changed) == 20


async def test_who_is_killed_half_way_is_gone_on_for(store_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(versions, "SILENT_S", 0.2)
    count = 300 if store_settings.mongo_url else 3_000

    async with before_versions(store_settings, count) as records:
        command = (sys.executable, "-c", OPENING, str(store_settings.data_dir), store_settings.mongo_url)
        process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, env=dict(os.environ))  # noqa: TID251 - handing it on
        await until(lambda: found(records), "the first rows are changed")
        process.kill()
        assert await process.wait() < 0
        done = await found(records)
        assert done < count
    changed = counted(monkeypatch)
    async with open_records(store_settings) as records:
        assert await found(records) == count
        assert 0 < len(changed) <= count - done


async def test_one_that_was_only_slow_undoes_nothing(store_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(versions, "SILENT_S", 0.2)
    held, going_on = threading.Event(), threading.Event()

    def slow(record: Record) -> Record:
        if not held.is_set():
            held.set()
            going_on.wait(timeout=20)
        return messages.search_fields(record)

    monkeypatch.setattr(versions, "UPGRADES", ((Step(messages.COLLECTION, {"text": None}, slow),),))

    async with before_versions(store_settings, 3) as records:
        first = asyncio.create_task(opened(store_settings))
        assert await asyncio.to_thread(held.wait, 20)
        await opened(store_settings)
        await records.change(messages.COLLECTION, {"chat_id": "chat"}, {"content": "said since", "text": "said since"})
        going_on.set()
        await first
        assert (await found(records, "said since"), await found(records)) == (3, 0)


async def test_one_that_is_stopped_half_way_lets_the_next_go_on_at_once(store_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(versions, "SILENT_S", 3_600.0)
    monkeypatch.setattr(versions, "ROWS", 2)
    async with before_versions(store_settings, 20) as records:
        changed = counted(monkeypatch, fails_at=7)
        with pytest.raises(OSError, match="stopped"):
            await opened(store_settings)
        assert len(changed) == 6
        await opened(store_settings)
        assert await found(records) == 20
        assert len(changed) == 20


async def test_a_store_of_a_newer_build_is_refused_and_left_as_it_is(store_settings: Settings) -> None:
    note = {"_id": STORE, "version": len(UPGRADES) + 1, "step": 0, "after": "", "holder": "", "what": "this build does not know"}
    async with before_versions(store_settings, 1) as records:
        await records.put(COLLECTION, [note])
        with pytest.raises(SettingsError) as refused:
            await opened(store_settings)
        assert await records.get(COLLECTION, STORE, Record) == note
        assert await found(records) == 0
    place = "PENSTOCK_MONGO_URL" if store_settings.mongo_url else str(store_settings.data_dir)
    assert f"{place} " in refused.value.detail
    assert "made by a newer Penstock" in refused.value.detail
    assert "\n" not in refused.value.detail


async def opened(settings: Settings) -> None:
    """Open a store, and close it."""
    async with open_records(settings):
        pass


def counted(monkeypatch: pytest.MonkeyPatch, *, fails_at: int = 0) -> list[Record]:
    """The messages that are changed from now on; the changing of one of them fails, once."""
    changed: list[Record] = []
    failures = [fails_at]

    def counting(record: Record) -> Record:
        if len(changed) + 1 == failures[0]:
            failures[0] = 0
            message = "stopped"
            raise OSError(message)
        changed.append(record)
        return messages.search_fields(record)

    first, *others = UPGRADES[0]
    monkeypatch.setattr(versions, "UPGRADES", ((msgspec.structs.replace(first, changes=counting), *others), *UPGRADES[1:]))
    return changed
