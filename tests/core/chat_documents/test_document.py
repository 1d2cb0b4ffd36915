"""A posted chat document comes back as it was posted, whatever JSON it holds, from every store."""

import copy
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from core.chat_documents.document import build_messages, message_document, split_document
from core.chat_documents.order import arrange
from core.models.chats import Message
from core.services.chats.chats import Chats, as_document
from tests.core.services.people import ME

json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
timestamps = st.none() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=3)


@st.composite
def messages(draw: st.DrawFn, message_id: Any = None) -> dict[str, Any]:
    message = draw(st.dictionaries(st.text(max_size=5) | st.sampled_from(["parentId", "childrenIds", "$set", "a.b"]), json, max_size=3))
    message.pop("role", None)
    message.update(draw(st.fixed_dictionaries({}, optional={"role": st.text(max_size=5), "content": json, "timestamp": timestamps})))
    message.pop("id", None)
    if message_id is not None and draw(st.booleans()):
        message["id"] = message_id
    return message


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    document = draw(st.dictionaries(st.text(max_size=5), json, max_size=3))
    for name in ("title", "messages", "history"):
        document.pop(name, None)
    document.update(draw(st.fixed_dictionaries({}, optional={"title": st.none() | st.text(max_size=5)})))
    ids = draw(st.lists(st.text(min_size=1, max_size=3), max_size=5, unique=True))
    nodes = {message_id: draw(messages(message_id)) for message_id in ids if draw(st.booleans())}
    if draw(st.booleans()):
        rest = draw(st.dictionaries(st.text(max_size=5), json, max_size=2) | st.just({"currentId": next(iter(ids), None)}))
        document["history"] = {**rest, "messages": nodes} if draw(st.booleans()) else {k: v for k, v in rest.items() if k != "messages"}
    if draw(st.booleans()):
        same = st.sampled_from([{**node, "id": key} for key, node in nodes.items()]) if nodes else st.nothing()
        listed = draw(st.lists(same | messages(), max_size=4, unique_by=lambda message: str(message.get("id", id(message)))))
        document["messages"] = [*listed, *(draw(messages(key)) for key in ids if key not in nodes)]
    return document


def filled_in(posted: dict[str, Any], returned: dict[str, Any]) -> dict[str, Any]:
    """What should come back: the posted document, with what it lacked as it was filled in."""
    expected = copy.deepcopy(posted)
    expected["title"] = posted.get("title") or "New Chat"
    if "messages" not in (expected.get("history") or {}):
        expected.setdefault("messages", [])
    nodes = (expected.get("history") or {}).get("messages") or {}
    pairs = [(node, returned["history"]["messages"][key]) for key, node in nodes.items()]
    pairs += zip(expected.get("messages", ()), returned.get("messages", ()), strict=False)
    for message, given_back in pairs:
        for name, kind in (("id", str), ("timestamp", int)):
            if message.get(name) is None:
                if not (name == "timestamp" and type(given_back[name]) in {float, str, int}):  # another copy of it may have one
                    assert type(given_back[name]) is kind
                message[name] = given_back[name]
    for key, node in nodes.items():
        assert node["id"] == key
    return expected


def exact(document: dict[str, Any]) -> bytes:
    return msgspec.json.encode(document, order="deterministic")


@hypothesis_settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(posted=documents(), change=documents())
async def test_any_document_comes_back_and_any_change_merges(chats: Chats, posted: dict[str, Any], change: dict[str, Any]) -> None:
    created = await chats.create(ME, posted)
    before = as_document(created)
    assert exact(before) == exact(filled_in(posted, before))
    stored = await chats.get(ME, created.chat.id)
    assert exact(as_document(stored)) == exact(before)

    after = as_document(await chats.update(ME, created.chat.id, change))
    merged = {**before, **{name: value for name, value in change.items() if name != "title" or value is not None}}
    kept = (before.get("history") or {}).get("messages")
    if kept is not None and "messages" not in (merged.get("history") or {}):
        merged["history"] = before["history"] if merged["history"] is None else {**merged["history"], "messages": kept}
    assert exact(after) == exact(filled_in(merged, after))
    assert exact(as_document(await chats.get(ME, created.chat.id))) == exact(after)


@given(listed=st.lists(st.integers(0, 9).map(str), unique=True), tree=st.lists(st.integers(0, 9).map(str), unique=True))
def test_one_order_keeps_the_lists_own(listed: list[str], tree: list[str]) -> None:
    order = arrange(listed, tree)
    assert sorted(order) == sorted({*listed, *tree})
    assert [each for each in order if each in listed] == listed
    only = [each for each in order if each not in listed]
    assert only == [each for each in tree if each not in listed]


def test_a_tree_in_its_own_order_is_left_in_it() -> None:
    assert arrange(["q", "b", "r"], ["q", "a", "b", "r", "s"]) == ["q", "a", "b", "r", "s"]


def test_rows_posted_again_with_one_more_keep_their_places() -> None:
    def taken(count: int, known: list[Message]) -> list[Message]:
        listed = [{"id": str(number), "role": "user", "content": "x", "timestamp": 1} for number in range(count)]
        return build_messages(split_document({"messages": listed}), chat_id="c", now=5, known=known)

    first = taken(5, [])
    appended = msgspec.structs.replace(first[-1], id="5", position=10**15)
    again = taken(7, [*first, appended])
    assert again[:5] == first
    assert [message.position for message in again[5:]] == [10**15, 10**15 + 1]


@pytest.mark.parametrize(
    "posted", [{"id": 7, "role": "user", "content": None}, {"id": "7", "role": "user", "timestamp": 1.5, "content": 2**70}]
)
def test_a_message_of_unusual_types_is_written_out_as_it_was(posted: dict[str, Any]) -> None:
    (row,) = build_messages(split_document({"messages": [posted]}), chat_id="c", now=5)
    assert row.id == "7"
    assert message_document(row) == {"timestamp": 5, **posted}


LISTED: dict[str, Any] = {"messages": [{"id": "q", "role": "user", "content": "?", "timestamp": 1}]}
HISTORY: dict[str, Any] = {"history": {"messages": {"q": {**LISTED["messages"][0], "parentId": None, "childrenIds": []}}, "currentId": "q"}}


@pytest.mark.parametrize(
    "nothing", [{"messages": None}, {"history": {"messages": None, "x": 1}}, {"messages": None, "history": {"messages": None}}]
)
async def test_a_null_in_place_of_messages_says_nothing_of_them(chats: Chats, nothing: dict[str, Any]) -> None:
    created = as_document(await chats.create(ME, nothing))
    assert created["messages"] == []
    assert "messages" not in (created.get("history") or {})
    before: dict[str, Any]
    for before in (LISTED, HISTORY, {**LISTED, **HISTORY}):
        chat_id = (await chats.create(ME, before)).chat.id
        after = as_document(await chats.update(ME, chat_id, {**nothing, "new": 1}))
        assert after == as_document(await chats.get(ME, chat_id))
        assert after["new"] == 1
        assert after.get("messages") == before.get("messages")
        assert (after.get("history") or {}).get("messages") == (before.get("history") or {}).get("messages")
