"""Chats: what is posted comes back, changes merge, strangers see nothing."""

import asyncio
import time
import uuid
from typing import Any

import msgspec
import pytest

from core.errors import BadRequest, Conflict, NotFound
from core.models.chats import Chat, Message
from core.models.generations import Generation
from core.models.jobs import JobStatus
from core.redis.read_markers import ReadMarkers
from core.services.chats.chats import Chats, as_document, message_document
from core.services.notifications import Notifications
from core.storage.generations import Generations as GenerationRows
from core.storage.messages import COLLECTION as MESSAGES
from core.storage.records.port import Record, Records
from tests.core.chat_service import open_chats
from tests.core.services.people import ADMIN, ME, STRANGER

LISTED: dict[str, Any] = {
    "title": "Rivers",
    "models": ["m1"],
    "params": {"temperature": 0.5},
    "messages": [
        {"id": "q", "role": "user", "content": "Where does it rise?", "timestamp": 1_700_000_000},
        {"id": "a", "role": "assistant", "content": "In the hills.", "timestamp": 1_700_000_001, "model": "m1", "info": {"tokens.per$": 3}},
    ],
}
TREE: dict[str, Any] = {
    "title": "Tree",
    "models": ["m1"],
    "history": {
        "messages": {
            "q": {"id": "q", "parentId": None, "childrenIds": ["a", "b"], "role": "user", "content": "?", "timestamp": 1},
            "a": {"id": "a", "parentId": "q", "childrenIds": [], "role": "assistant", "content": "!", "timestamp": 2},
            "b": {"id": "b", "parentId": "q", "childrenIds": [], "role": "assistant", "content": "", "timestamp": 3, "done": False},
        },
        "currentId": "b",
    },
}


def message(text: str, role: str = "user", **extra: Any) -> Message:
    return Message(id=str(uuid.uuid4()), chat_id="", position=0, role=role, content=text, timestamp=5, extra=extra)


async def texts(chats: Chats, chat_id: str) -> list[Any]:
    return [found.content for found in (await chats.get(ME, chat_id)).messages]


@pytest.mark.parametrize("document", [LISTED, TREE, {**TREE, "messages": list(TREE["history"]["messages"].values())[::2]}])
async def test_a_posted_chat_comes_back_as_it_was_posted(chats: Chats, document: dict[str, Any]) -> None:
    before = msgspec.json.encode(document)
    created = await chats.create(ME, document)
    assert as_document(created) == document
    assert await chats.get(ME, created.chat.id) == created
    assert msgspec.json.encode(document) == before


async def test_missing_title_ids_and_timestamps_are_filled_in(chats: Chats) -> None:
    created = await chats.create(
        ME, {"messages": [{"role": "user", "content": "Hi"}, {"id": "", "role": "user", "content": "Hi", "timestamp": None}]}
    )
    document = as_document(created)
    assert document["title"] == created.chat.title == "New Chat"
    assert len({given["id"] for given in document["messages"]}) == 2
    assert all(abs(given["timestamp"] - time.time()) < 60 for given in document["messages"])
    assert as_document(await chats.get(ME, created.chat.id)) == document


async def test_an_empty_document_is_an_empty_chat(chats: Chats) -> None:
    assert as_document(await chats.create(ME, {})) == {"title": "New Chat", "messages": []}


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ([], "chat"),
        ({"title": 5}, "chat.title"),
        ({"messages": {}}, "chat.messages"),
        ({"messages": 0}, "chat.messages"),
        ({"history": {"messages": False}}, "chat.history.messages"),
        ({"messages": ["x"]}, "chat.messages[0]"),
        ({"messages": [{"role": "user"}, {"role": None}]}, "chat.messages[1].role"),
        ({"messages": [{"role": 1}]}, "chat.messages[0].role"),
        ({"messages": [{"role": "user", "id": [1]}]}, "chat.messages[0].id"),
        ({"messages": [{"role": "user", "id": "x"}, {"role": "user", "id": "x"}]}, "chat.messages[1].id"),
        ({"history": 5}, "chat.history"),
        ({"history": {"messages": []}}, "chat.history.messages"),
        ({"history": {"messages": {"k": 5}}}, "chat.history.messages.k"),
        ({"history": {"messages": {"k": {"role": "user", "id": "other"}}}}, "chat.history.messages.k.id"),
    ],
)
async def test_bad_input_is_refused_by_the_fields_name(chats: Chats, document: Any, field: str) -> None:
    chat_id = (await chats.create(ME, LISTED)).chat.id
    for refusal in (chats.create(ME, document), chats.update(ME, chat_id, document)):
        with pytest.raises(BadRequest) as refused:
            await refusal
        assert refused.value.param == field
        assert field in refused.value.detail


async def test_two_chats_may_hold_the_same_message_ids(chats: Chats) -> None:
    one, two = await chats.create(ME, LISTED), await chats.create(STRANGER, LISTED)
    await chats.update(ME, one.chat.id, {"messages": []})
    assert as_document(await chats.get(STRANGER, two.chat.id)) == LISTED


async def test_an_update_merges_one_level_deep_and_keeps_the_messages(chats: Chats) -> None:
    created = await chats.create(ME, LISTED)
    updated = await chats.update(ME, created.chat.id, {"title": "Renamed", "params": {"top_p": 1}, "new": [1]})
    assert as_document(updated) == {**LISTED, "title": "Renamed", "params": {"top_p": 1}, "new": [1]}
    assert await chats.get(ME, created.chat.id) == updated
    assert updated.chat.updated_at >= created.chat.updated_at


async def test_an_update_with_messages_replaces_them_and_writes_what_changed_only(chats: Chats, records: Records) -> None:
    created = await chats.create(ME, LISTED)
    chat_id = created.chat.id
    versions = {row["id"]: row["version"] for row in await records.find(MESSAGES, {"chat_id": chat_id}, Record)}
    question, answer = LISTED["messages"]
    new = [question, {**answer, "content": "In the lake."}, {"id": "n", "role": "user", "content": "Sure?", "timestamp": 9}]
    updated = await chats.update(ME, chat_id, {"messages": new})
    assert as_document(updated) == {**LISTED, "messages": new}
    assert await chats.get(ME, chat_id) == updated
    rows = {row["id"]: row["version"] for row in await records.find(MESSAGES, {"chat_id": chat_id}, Record)}
    assert rows["q"] == versions["q"]
    assert rows["a"] != versions["a"]
    shorter = await chats.update(ME, chat_id, {"messages": new[2:]})
    assert as_document(await chats.get(ME, chat_id)) == as_document(shorter) == {**LISTED, "messages": new[2:]}
    assert await records.count(MESSAGES, {"chat_id": chat_id}) == 1


async def test_messages_posted_again_without_ids_keep_those_that_they_were_given(chats: Chats) -> None:
    posted = [{"role": "user", "content": "One"}, {"role": "assistant", "content": "Two"}]
    created = await chats.create(ME, {"messages": posted})
    updated = await chats.update(ME, created.chat.id, {"messages": [*posted, {"role": "user", "content": "Three"}]})
    assert updated.messages[:2] == created.messages


async def test_a_history_without_messages_keeps_those_that_are_there(chats: Chats) -> None:
    created = await chats.create(ME, TREE)
    updated = as_document(await chats.update(ME, created.chat.id, {"history": {"currentId": "a"}}))
    assert updated == {**TREE, "history": {**TREE["history"], "currentId": "a"}}
    listed = [{"id": "z", "role": "user", "content": "z", "timestamp": 1}]
    both = as_document(await chats.update(ME, created.chat.id, {"messages": listed, "history": {"currentId": "q"}}))
    assert both == {**TREE, "messages": listed, "history": {**TREE["history"], "currentId": "q"}}


async def test_appended_messages_come_last_in_the_order_they_were_given(chats: Chats) -> None:
    chat_id = (await chats.create(ME, LISTED)).chat.id
    for number in range(5):
        await chats.append(ME, chat_id, [message(f"{number} a"), message(f"{number} b", "assistant", done=False)])
    detail = await chats.get(ME, chat_id)
    assert [found.content for found in detail.messages[2:]] == [f"{number} {letter}" for number in range(5) for letter in "ab"]
    positions = [found.position for found in detail.messages]
    assert positions == sorted(set(positions))
    assert abs(positions[-1] / 1e6 - time.time()) < 60
    assert as_document(detail)["messages"][-1] == message_document(detail.messages[-1])
    assert as_document(detail)["messages"][-1]["done"] is False


async def test_messages_appended_to_a_tree_hang_below_the_current_one(chats: Chats) -> None:
    chat_id = (await chats.create(ME, TREE)).chat.id
    first, second = message("more"), message("yes", "assistant")
    await chats.append(ME, chat_id, [first, second])
    document = as_document(await chats.get(ME, chat_id))
    nodes = document["history"]["messages"]
    assert document["history"]["currentId"] == second.id
    assert nodes["b"]["childrenIds"] == [first.id]
    assert (nodes[first.id]["parentId"], nodes[first.id]["childrenIds"]) == ("b", [second.id])
    assert (nodes[second.id]["parentId"], nodes[second.id]["childrenIds"]) == (first.id, [])
    assert as_document(await chats.update(ME, chat_id, {"history": document["history"]})) == document
    assert as_document(await chats.get(ME, chat_id)) == document


async def test_an_id_that_the_chat_already_has_cannot_be_appended(chats: Chats) -> None:
    chat_id = (await chats.create(ME, LISTED)).chat.id
    with pytest.raises(Conflict):
        await chats.append(ME, chat_id, [message("new"), msgspec.structs.replace(message("twice"), id="a")])
    assert as_document(await chats.get(ME, chat_id)) == LISTED


async def test_writers_who_append_at_once_lose_nobodys_message(chats: Chats) -> None:
    chat_id = (await chats.create(ME, {})).chat.id
    wanted = [f"{writer}" for writer in range(20)]
    await asyncio.gather(*(chats.append(ME, chat_id, [message(text)]) for text in wanted))
    assert sorted(await texts(chats, chat_id)) == sorted(wanted)


async def test_writers_who_change_different_fields_at_once_lose_neither(
    atomic_records: Records, notifications: Notifications, read_markers: ReadMarkers
) -> None:
    chats = open_chats(atomic_records, notifications, read_markers)
    chat_id = (await chats.create(ME, LISTED)).chat.id
    fields = {f"field{number}": number for number in range(8)}
    changes = [chats.update(ME, chat_id, {name: value}) for name, value in fields.items()]
    await asyncio.gather(*changes, *(chats.append(ME, chat_id, [message(name)]) for name in fields))
    document = as_document(await chats.get(ME, chat_id))
    assert {name: document[name] for name in fields} == fields
    assert sorted(found["content"] for found in document["messages"][2:]) == sorted(fields)


async def test_a_worker_fills_an_answer(chats: Chats) -> None:
    chat_id = (await chats.create(ME, {})).chat.id
    answer = message("", "assistant", done=False, model="m")
    await chats.append(ME, chat_id, [answer])
    await chats.fill(chat_id, answer.id, "It is.", {"done": True, "usage": {"total_tokens": 3}})
    found = (await chats.detail(chat_id)).messages[0]
    assert (found.content, found.extra) == ("It is.", {"done": True, "model": "m", "usage": {"total_tokens": 3}})
    await chats.fill(chat_id, "no such message", "x", {})
    await chats.fill("no such chat", answer.id, "x", {})


async def test_a_strangers_chat_is_not_found_for_anybody(chats: Chats) -> None:
    chat_id = (await chats.create(ME, LISTED)).chat.id
    for other in (STRANGER, ADMIN):
        for refused in (
            chats.get(other, chat_id),
            chats.readable(other, chat_id),
            chats.update(other, chat_id, {}),
            chats.delete(other, chat_id),
            chats.append(other, chat_id, [message("x")]),
        ):
            with pytest.raises(NotFound):
                await refused
        assert await chats.list(other) == []
    assert as_document(await chats.get(ME, chat_id)) == LISTED
    for refused in (chats.get(ME, "nothing"), chats.detail("nothing")):
        with pytest.raises(NotFound):
            await refused


async def test_deleting_a_chat_takes_its_messages_and_generations(chats: Chats, generations: GenerationRows, records: Records) -> None:
    gone, kept = [(await chats.create(ME, LISTED)).chat.id for _ in range(2)]
    for chat_id in (gone, kept):
        row = Generation(
            id=f"g-{chat_id}", user_id=ME.id, chat_id=chat_id, message_id="a", model="m", status=JobStatus.IN_PROGRESS, created_at=1
        )
        await generations.insert(row)
    await chats.delete(ME, gone)
    with pytest.raises(NotFound):
        await chats.get(ME, gone)
    with pytest.raises(NotFound):
        await chats.delete(ME, gone)
    with pytest.raises(NotFound):
        await chats.append(ME, gone, [message("late")])
    assert await records.count(MESSAGES, {"chat_id": gone}) == 0
    assert await generations.get(f"g-{gone}") is None
    assert await generations.get(f"g-{kept}") is not None
    assert as_document(await chats.get(ME, kept)) == LISTED


async def test_the_list_is_ones_own_newest_change_first(chats: Chats) -> None:
    made = [(await chats.create(ME, {"title": f"{number}"})).chat.id for number in range(4)]
    await chats.create(STRANGER, {})
    await chats.append(ME, made[1], [message("x")])
    await chats.update(ME, made[0], {"title": "again"})
    expected = [made[0], made[1], made[3], made[2]]

    def ids(page: list[Chat]) -> list[str]:
        return [chat.id for chat in page]

    assert ids(await chats.list(ME)) == expected
    assert ids(await chats.list(ME, limit=3)) == expected[:3]
    assert ids(await chats.list(ME, limit=3, after=expected[0])) == expected[1:]
    assert ids(await chats.list(ME, after=expected[3])) == []
    for strange in ("nothing", (await chats.list(STRANGER))[0].id):
        with pytest.raises(BadRequest):
            await chats.list(ME, after=strange)


async def test_deleting_all_of_a_users_chats_leaves_nobody_elses(
    chats: Chats, generations: GenerationRows, records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.services.chats.chats.DELETE_AT_ONCE", 2)
    mine = [(await chats.create(ME, LISTED)).chat.id for _ in range(5)]
    theirs = (await chats.create(STRANGER, LISTED)).chat.id
    row = Generation(id="g", user_id=ME.id, chat_id=mine[0], message_id="a", model="m", status=JobStatus.IN_PROGRESS, created_at=1)
    await generations.insert(row)
    assert await chats.delete_all(ME.id) == 5
    assert await chats.delete_all(ME.id) == 0
    assert await chats.list(ME) == []
    assert await generations.get("g") is None
    assert await records.count(MESSAGES, {}) == 2
    assert as_document(await chats.get(STRANGER, theirs)) == LISTED
