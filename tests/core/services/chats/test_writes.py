"""Several writers on one chat: nobody's message is lost, and who is alone gets back what they posted."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from core.errors import NotFound, Unavailable
from core.models.chats import Message, VersionedMessage
from core.models.users import Principal
from core.redis.client import Scripts, connect
from core.redis.read_markers import ReadMarkers
from core.services.chats.chats import Chats, as_document
from core.services.notifications import Notifications
from core.storage.messages import COLLECTION as MESSAGES
from core.storage.messages import Messages as MessageRows
from core.storage.records.port import Records
from tests.core.chat_service import deliver_chat, open_chats
from tests.core.services.people import ME, STRANGER
from tests.ports import free_port

WRITERS = 12


def session(name: str) -> Principal:
    """One of the user's clients."""
    return msgspec.structs.replace(ME, session=name)


def said(name: str, **extra: Any) -> dict[str, Any]:
    return {"id": name, "role": "user", "content": f"words of {name}", "timestamp": 1, **extra}


def node(name: str, parent: str | None, *children: str, **extra: Any) -> dict[str, Any]:
    return said(name, parentId=parent, childrenIds=list(children), **extra)


def tree(current: str, *nodes: dict[str, Any]) -> dict[str, Any]:
    return {"history": {"messages": {each["id"]: each for each in nodes}, "currentId": current}}


def answer(text: str = "", **extra: Any) -> Message:
    return Message(id=str(uuid.uuid4()), chat_id="", position=0, role="assistant", content=text, timestamp=5, extra=extra)


async def ids(chats: Chats, chat_id: str) -> list[str]:
    return [message["id"] for message in as_document(await chats.get(ME, chat_id))["messages"]]


A, B = session("a"), session("b")
BASE = {"title": "t", "messages": [said("q1"), said("q2")]}


async def test_who_is_alone_gets_back_what_they_posted_however_short(chats: Chats) -> None:
    chat_id = (await chats.create(A, BASE)).chat.id
    for names in (["q1", "q2", "q3"], ["q2"], [], ["q9", "q2"], ["q9"]):
        document = {**BASE, "messages": [said(name) for name in names]}
        assert as_document(await chats.update(A, chat_id, document)) == document
        assert as_document(await chats.get(A, chat_id)) == document


async def test_what_was_appended_can_be_left_out_by_who_has_been_given_it(chats: Chats) -> None:
    chat_id = (await chats.create(A, BASE)).chat.id
    late = answer("late")
    await chats.append(A, chat_id, [late])
    await chats.update(A, chat_id, BASE)
    assert await ids(chats, chat_id) == ["q1", "q2", late.id]
    await deliver_chat(chats, A, chat_id)
    await chats.update(B, chat_id, BASE)
    assert await ids(chats, chat_id) == ["q1", "q2", late.id]
    assert as_document(await chats.update(A, chat_id, BASE)) == BASE


async def test_a_message_that_its_sender_has_not_seen_is_kept_however_often_they_post(chats: Chats) -> None:
    chat_id = (await chats.create(A, BASE)).chat.id
    for client in (A, B):
        await deliver_chat(chats, client, chat_id)
    await chats.update(A, chat_id, {"messages": [*BASE["messages"], said("a")]})
    for more in ([said("b")], [said("b"), said("b2")], []):
        await chats.update(B, chat_id, {"messages": [*BASE["messages"], *more]})
    assert await ids(chats, chat_id) == ["q1", "q2", "a"]
    await deliver_chat(chats, B, chat_id)
    await chats.update(B, chat_id, BASE)
    assert await ids(chats, chat_id) == ["q1", "q2"]


async def test_who_posts_a_message_without_an_id_beside_some_that_they_have_not_seen_can_leave_it_out_again(chats: Chats) -> None:
    chat_id = (await chats.create(A, BASE)).chat.id
    await chats.update(B, chat_id, {"messages": [{"role": "user", "content": "b"}]})
    assert len(await ids(chats, chat_id)) == 3
    await chats.update(B, chat_id, {"messages": []})
    assert await ids(chats, chat_id) == ["q1", "q2"]


async def test_what_is_kept_hangs_below_its_parent_and_the_current_message_is_the_clients_own(chats: Chats) -> None:
    chat_id = (await chats.create(A, tree("r", node("q", None, "r"), node("r", "q")))).chat.id
    for client in (A, B):
        await deliver_chat(chats, client, chat_id)
    await chats.update(A, chat_id, tree("a2", node("q", None, "r"), node("r", "q", "a1"), node("a1", "r", "a2"), node("a2", "a1")))
    after = as_document(await chats.update(B, chat_id, tree("b", node("q", None, "b"), node("b", "q"))))["history"]
    assert after["currentId"] == "b"
    assert after["messages"] == {
        "q": node("q", None, "b", "a1"),
        "b": node("b", "q"),
        "a1": node("a1", "q", "a2"),
        "a2": node("a2", "a1"),
    }
    assert as_document(await chats.get(ME, chat_id))["history"] == after


async def test_who_posts_a_list_does_not_know_the_tree_beside_it(chats: Chats) -> None:
    chat_id = (await chats.create(A, {**BASE, **tree("q2", node("q1", None, "q2", "x"), node("q2", "q1"), node("x", "q1"))})).chat.id
    await chats.update(B, chat_id, BASE)
    after = as_document(await chats.update(B, chat_id, {**BASE, **tree("q2", node("q1", None, "q2"), node("q2", "q1"))}))
    assert after["history"]["messages"]["x"] == node("x", "q1")


async def test_an_answer_that_ended_meanwhile_is_not_put_back_to_its_beginning(chats: Chats) -> None:
    chat_id = (await chats.create(A, BASE)).chat.id
    reply = answer(done=False, generation_id="g", model="m")
    await chats.append(A, chat_id, [reply])
    stale = as_document(await deliver_chat(chats, A, chat_id))
    await chats.fill(chat_id, reply.id, "It is.", {"done": True})
    after = as_document(await chats.update(A, chat_id, {"messages": [*stale["messages"], said("q3")]}))["messages"]
    assert [(message["content"], message.get("done")) for message in after[2:]] == [("It is.", True), ("words of q3", None)]


async def test_an_answer_filled_while_an_update_runs_stays(
    atomic_records: Records, notifications: Notifications, read_markers: ReadMarkers
) -> None:
    chats = open_chats(atomic_records, notifications, read_markers)
    chat_id = (await chats.create(A, BASE)).chat.id
    for number in range(10):
        reply = answer(done=False, generation_id=f"g{number}", model="m")
        await chats.append(A, chat_id, [reply])
        seen = as_document(await deliver_chat(chats, A, chat_id))["messages"]
        altered = [{**message, "rating": number} for message in seen]
        await asyncio.gather(chats.update(A, chat_id, {"messages": altered}), chats.fill(chat_id, reply.id, "It is.", {"done": True}))
        found = as_document(await chats.get(A, chat_id))["messages"]
        assert [(message["content"], message["rating"]) for message in found[2:]] == [("It is.", number)] * (number + 1)


@pytest.mark.parametrize("sessions", [1, WRITERS])
@pytest.mark.parametrize("form", ["list", "tree", "both"])
async def test_racing_updates_that_each_add_a_message_lose_none(
    atomic_records: Records, notifications: Notifications, read_markers: ReadMarkers, form: str, sessions: int
) -> None:
    chats = open_chats(atomic_records, notifications, read_markers)

    def document(*names: str) -> dict[str, Any]:
        listed = {"messages": [said("q1"), *(said(name) for name in names)]}
        grown = tree(names[-1] if names else "q1", node("q1", None, *names), *(node(name, "q1") for name in names))
        return {"list": listed, "tree": grown, "both": {**listed, **grown}}[form]

    chat_id = (await chats.create(A, document())).chat.id
    writers = [session(f"s{number % sessions}") for number in range(WRITERS)]
    await asyncio.gather(*(deliver_chat(chats, writer, chat_id) for writer in writers))
    late = answer("late")
    names = [f"w{number}" for number in range(WRITERS)]
    updates = [chats.update(writer, chat_id, {**document(name), name: 1}) for writer, name in zip(writers, names, strict=True)]
    await asyncio.gather(*updates, chats.append(A, chat_id, [late]))
    found = as_document(await chats.get(ME, chat_id))
    wanted = {"q1", late.id, *names}
    assert {name for name in found if name.startswith("w")} == set(names)
    if form != "tree":
        assert len(found["messages"]) == len(wanted)
        assert {message["id"] for message in found["messages"]} == wanted
    if form != "list":
        nodes = found["history"]["messages"]
        assert set(nodes) == wanted
        assert set(names) <= set(nodes["q1"]["childrenIds"])
        assert all(nodes[name]["parentId"] == "q1" for name in names)


async def test_messages_without_ids_are_written_once_however_often_it_is_tried(
    atomic_records: Records, notifications: Notifications, read_markers: ReadMarkers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All have read the empty chat before the first one writes: whoever finds a message like their own in its place means that one."""
    read, everybody, readers = MessageRows.versioned, asyncio.Barrier(WRITERS), iter(range(WRITERS))

    async def read_together(rows: MessageRows, chat_id: str) -> list[VersionedMessage]:
        found = await read(rows, chat_id)
        if next(readers, None) is not None:
            await everybody.wait()
        return found

    monkeypatch.setattr(MessageRows, "versioned", read_together)
    chats = open_chats(atomic_records, notifications, read_markers)
    chat_id = (await chats.create(A, {})).chat.id
    contents = [f"{number}" for number in range(WRITERS)]
    updates = [
        chats.update(session(text), chat_id, {"messages": [{"role": "user", "content": text}, {"role": "assistant", "content": "same"}]})
        for text in contents
    ]
    await asyncio.gather(*updates)
    found = [message.content for message in (await chats.get(ME, chat_id)).messages]
    assert sorted(text for text in found if text != "same") == sorted(contents)
    assert found.count("same") == WRITERS


class TestWithoutRedis:
    """What a client was given cannot be known, only what it made the chat with."""

    @pytest.fixture
    async def read_markers(self) -> AsyncIterator[ReadMarkers]:
        redis = connect(f"redis://127.0.0.1:{free_port()}")
        read_markers = ReadMarkers(Scripts(redis, patience_s=0))
        yield read_markers
        await read_markers.close()
        await redis.aclose()

    async def test_nothing_is_taken_out_and_everything_else_works(self, chats: Chats) -> None:
        chat_id = (await chats.create(A, BASE)).chat.id
        await deliver_chat(chats, B, chat_id)
        changed = [{**said("q2"), "content": "other words"}, said("q3")]
        await chats.update(B, chat_id, {"messages": changed, "title": "new"})
        assert as_document(await chats.get(A, chat_id)) == {"title": "new", "messages": [*changed, said("q1")]}
        await chats.update(A, chat_id, {"messages": []})
        assert await ids(chats, chat_id) == ["q3"]


@pytest.mark.parametrize("broken", ["change", "remove"])
async def test_what_breaks_off_in_the_middle_loses_no_message(chats: Chats, monkeypatch: pytest.MonkeyPatch, broken: str) -> None:
    chat_id = (await chats.create(A, BASE)).chat.id
    with monkeypatch.context() as patch:
        patch.setattr(chats._chats if broken == "change" else chats._messages, broken, _break)
        with pytest.raises(Unavailable):
            await chats.update(A, chat_id, {"messages": [said("q2"), said("q3")]})
    assert set(await ids(chats, chat_id)) == {"q1", "q2", "q3"}


async def test_nothing_stays_of_what_is_written_while_the_chat_is_deleted(
    chats: Chats, records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    chat_id = (await chats.create(A, BASE)).chat.id

    async def too_late(*_: Any) -> bool:
        await chats.delete(A, chat_id)
        await chats._messages.insert([msgspec.structs.replace(answer("late"), chat_id=chat_id)])
        return False

    monkeypatch.setattr(chats._chats, "change", too_late)
    with pytest.raises(NotFound):
        await chats.update(A, chat_id, {"messages": [said("q3")]})
    assert await records.count(MESSAGES, {"chat_id": chat_id}) == 0


async def _break(*_: Any) -> None:
    message = "gone"
    raise Unavailable(message)


async def test_a_message_is_edited_and_taken_out_where_it_stands(chats: Chats) -> None:
    grown = tree("c", node("q", None, "a", "b"), node("a", "q", "c"), node("c", "a"), node("b", "q"))
    document = {"title": "t", **grown, "messages": [said("q", own=1), said("a"), said("c")]}
    chat_id = (await chats.create(A, document)).chat.id
    edited = as_document(await chats.edit(A, chat_id, "q", ["new"]))
    assert edited["messages"] == [said("q", own=1, content=["new"]), said("a"), said("c")]
    assert edited["history"]["messages"]["q"] == node("q", None, "a", "b", content=["new"])
    left = as_document(await chats.remove(A, chat_id, "a"))
    assert left["messages"] == [edited["messages"][0], said("c")]
    assert left["history"]["messages"] == {"q": node("q", None, "c", "b", content=["new"]), "c": node("c", "q"), "b": node("b", "q")}
    assert left["history"]["currentId"] == "c"
    last = as_document(await chats.remove(A, chat_id, "c"))
    assert last["history"]["currentId"] == "q"
    assert as_document(await chats.get(A, chat_id)) == last
    for refused in (chats.edit(A, chat_id, "a", "x"), chats.remove(A, chat_id, "a"), chats.remove(STRANGER, chat_id, "q")):
        with pytest.raises(NotFound):
            await refused
