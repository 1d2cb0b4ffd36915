"""Pinned and archived: marks on a chat, no changes of it."""

import asyncio

import msgspec
import pytest

from core.errors import NotFound
from core.redis.read_markers import ReadMarkers
from core.services.chats.chats import Chats
from core.services.notifications import Notifications
from core.storage.records.port import Records
from tests.core.chat_service import open_chats
from tests.core.services.people import ME, STRANGER


async def test_marks_are_no_change_of_a_chat(chats: Chats) -> None:
    first, second = [(await chats.create(ME, {"title": title})).chat.id for title in "ab"]
    before = await chats.list(ME)
    assert (await chats.mark(ME, first, "pinned")).pinned
    assert (await chats.mark(ME, first, "pinned", value=True)).pinned
    assert (await chats.mark(ME, first, "archived")).archived
    assert not (await chats.mark(ME, second, "archived", value=False)).archived
    after = await chats.list(ME)
    assert [msgspec.structs.replace(chat, pinned=False, archived=False) for chat in after] == before
    assert [chat.id for chat in await chats.list(ME, marks={"pinned": True})] == [first]
    assert [chat.id for chat in await chats.list(ME, marks={"archived": False, "pinned": False})] == [second]
    await chats.update(ME, first, {"title": "again"})
    assert (await chats.readable(ME, first)).pinned
    assert not (await chats.mark(ME, first, "pinned")).pinned
    with pytest.raises(NotFound):
        await chats.mark(STRANGER, first, "pinned")


async def test_a_mark_set_while_a_chat_changes_stays(
    atomic_records: Records, notifications: Notifications, read_markers: ReadMarkers
) -> None:
    chats = open_chats(atomic_records, notifications, read_markers)
    chat_id = (await chats.create(ME, {})).chat.id
    for number in range(10):
        await asyncio.gather(chats.update(ME, chat_id, {"n": number}), chats.mark(ME, chat_id, "pinned"))
        chat = await chats.readable(ME, chat_id)
        assert (chat.pinned, chat.document["n"]) == (number % 2 == 0, number)


async def test_all_of_ones_own_are_archived_and_taken_out_again(chats: Chats) -> None:
    mine = [(await chats.create(ME, {})).chat.id for _ in range(3)]
    theirs = (await chats.create(STRANGER, {})).chat.id
    await chats.mark(ME, mine[0], "archived")
    assert await chats.archive_all(ME, archived=True) == 2
    assert {chat.id for chat in await chats.list(ME, marks={"archived": True})} == set(mine)
    assert not (await chats.readable(STRANGER, theirs)).archived
    assert await chats.archive_all(ME, archived=False) == 3
    assert await chats.list(ME, marks={"archived": True}) == []
