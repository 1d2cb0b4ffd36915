"""Chats are found by their titles and by what was said in them."""

import asyncio
import uuid
from typing import Any

import pytest

from core.models.chats import Chat, Message
from core.services.chats.chats import Chats
from core.services.chats.search import ChatSearch
from core.storage.chats import Chats as ChatRows
from core.storage.messages import Messages as MessageRows
from core.storage.records.port import Records
from tests.core.services.people import ADMIN, ME, STRANGER


@pytest.fixture
def search(records: Records) -> ChatSearch:
    return ChatSearch(ChatRows(records), MessageRows(records))


def saying(*contents: Any, title: str = "x") -> dict[str, Any]:
    return {"title": title, "messages": [{"id": str(n), "role": "user", "content": content} for n, content in enumerate(contents)]}


def titles(found: list[Chat]) -> list[str]:
    return [chat.title for chat in found]


async def test_a_text_is_found_in_titles_and_messages_whatever_its_case(chats: Chats, search: ChatSearch) -> None:
    await chats.create(ME, saying("Where is the STRASSE?", title="one"))
    await chats.create(ME, saying("nothing", None, 5, {"text": "straße"}, title="two"))
    await chats.create(ME, saying([{"type": "text", "text": "In der Straße."}, {"type": "image_url"}, 7], title="three"))
    await chats.create(ME, saying(title="Straßen"))
    await chats.create(ME, {"title": "tree", "history": {"messages": {"a": {"role": "user", "content": "strasse", "parentId": None}}}})
    await chats.create(STRANGER, saying("Straße", title="Straße"))
    assert titles(await search.find(ME, "straße", limit=60)) == ["tree", "Straßen", "three", "one"]
    assert titles(await search.find(ME, "straße", limit=2, skip=1)) == ["Straßen", "three"]
    assert await search.find(ME, "straße", limit=2, skip=4) == []
    assert await search.find(ADMIN, "straße", limit=60) == []
    assert await search.find(ME, "st.*e", limit=60) == []
    assert len(await search.find(ME, "", limit=60)) == 5


async def test_what_is_said_later_is_found_and_what_is_gone_is_not(chats: Chats, search: ChatSearch) -> None:
    chat_id = (await chats.create(ME, saying("old words"))).chat.id
    answer = Message(id=str(uuid.uuid4()), chat_id="", position=0, role="assistant", content="", timestamp=5)
    await chats.append(ME, chat_id, [answer])
    await chats.fill(chat_id, answer.id, "Rivers rise in HILLS", {"done": True})
    assert len(await search.find(ME, "hills", limit=60)) == 1
    await chats.update(ME, chat_id, saying("new words"))
    assert len(await search.find(ME, "new words", limit=60)) == 1
    await chats.delete(ME, chat_id)
    assert await search.find(ME, "words", limit=60) == []


async def test_many_chats_are_looked_at_some_at_a_time(chats: Chats, search: ChatSearch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.services.chats.search.LOOK_AT_ONCE", 3)
    await asyncio.gather(*(chats.create(ME, saying("even" if number % 2 == 0 else "odd", title=str(number))) for number in range(10)))
    assert sorted(titles(await search.find(ME, "EVEN", limit=60))) == ["0", "2", "4", "6", "8"]
    assert await search.find(ME, "even", limit=2, skip=3) == (await search.find(ME, "even", limit=60))[3:]
