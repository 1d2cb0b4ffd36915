"""The chat document that a client posts, taken apart into a chat and its messages, and put together again. Pure.

A document holds its messages in a ``messages`` list, in an Open WebUI ``history`` (``{"messages": {id: {...}}, "currentId": id}``), or in
both, which then mostly say the same. What is posted comes back as it was, whatever JSON it holds; missing message ids, timestamps and the
title are filled in.

A row's ``posted`` remembers where it stood: ``{"messages": true, "history": true}``, with the list's own version in place of ``true`` where
it differs from the history's, and ``"no_content": true`` or ``"no_role": true`` where there was none. A row without it was appended, so it
belongs to both places, at their ends.
"""

import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn, cast

import msgspec

from core.chat_documents.order import arrange, assign_positions
from core.errors import BadRequest
from core.models.chats import MESSAGE_BYTES, ChatDetail, Message

DEFAULT_TITLE = "New Chat"
LIST, TREE = "messages", "history"

_INT64 = 2**63
_FIELDS = frozenset({"id", "role", "content", "timestamp"})


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """A posted document in pieces. ``listed`` and ``tree`` are None where it does not hold them, ``title`` where it has none."""

    title: str | None
    document: dict[str, Any]
    listed: list[dict[str, Any]] | None
    tree: dict[str, dict[str, Any]] | None

    @property
    def layout(self) -> tuple[str, ...]:
        """Where the messages stand; in a list where nothing else was said."""
        return tuple(name for name, held in ((LIST, self.listed), (TREE, self.tree)) if held is not None) or (LIST,)


def estimate_bytes(posted: Any) -> int:
    """How many bytes of JSON so many messages as a document holds mostly are, whatever was posted."""
    document = posted if isinstance(posted, dict) else {}
    history = document.get(TREE)
    held = (document.get(LIST), history.get(LIST) if isinstance(history, dict) else None)
    return sum(len(messages) for messages in held if isinstance(messages, list | dict)) * MESSAGE_BYTES


def split_document(posted: Any) -> Parts:
    """The pieces of a document. Raises BadRequest that names the field at fault."""
    document = without_null_messages(_object(posted, "chat"))
    title, listed, history, tree = document.pop("title", None), document.pop(LIST, None), document.get(TREE), None
    if title is not None and not isinstance(title, str):
        _refuse("chat.title", "a string")
    if listed is not None:
        if not isinstance(listed, list):
            _refuse("chat.messages", "a list of messages")
        for place, message in enumerate(listed):
            _check(message, f"chat.messages[{place}]")
    if history is not None and LIST in _object(history, "chat.history"):
        tree = _object(history[LIST], "chat.history.messages")
        document[TREE] = {name: value for name, value in history.items() if name != LIST}
        for key, message in tree.items():
            _check(message, f"chat.history.messages.{key}")
            if message.get("id") is not None and str(message["id"]) != key:
                _refuse(f"chat.history.messages.{key}.id", "the same as its key")
    return Parts(title=title, document=document, listed=listed, tree=tree)


def without_null_messages(document: Mapping[str, Any]) -> dict[str, Any]:
    """A copy without a null in place of messages: in many languages a list that nobody filled is written so. It says nothing."""
    found = {name: value for name, value in document.items() if name != LIST or value is not None}
    history = found.get(TREE)
    if isinstance(history, dict) and LIST in history and history[LIST] is None:
        found[TREE] = {name: value for name, value in history.items() if name != LIST}
    return found


def build_messages(pieces: Parts, *, chat_id: str, now: int, stored: int = 0, known: Sequence[Message] = ()) -> list[Message]:
    """The messages of a document, in order, as rows; new ones are ``stored`` now, in microseconds.

    What is missing comes from the rows ``known`` before, else from ``now`` and chance.
    """
    before = {message.id: message for message in known}
    nodes = {key: _row(message, key, chat_id, before.get(key), now) for key, message in (pieces.tree or {}).items()}
    items: dict[str, Message] = {}
    named = {str(message["id"]) for message in pieces.listed or () if message.get("id") is not None}
    for place, message in enumerate(pieces.listed or ()):
        message_id = _id(message, known[place] if place < len(known) and known[place].id not in named else None)
        if message_id in items:
            _refuse(f"chat.messages[{place}].id", f"used once: {message_id!r} stands twice in the list")
        items[message_id] = _row(message, message_id, chat_id, nodes.get(message_id) or before.get(message_id), now)
    found = [_merged(nodes.get(message_id), items.get(message_id)) for message_id in arrange(list(items), list(nodes))]
    return assign_positions(found, before, stored)


def as_document(detail: ChatDetail) -> dict[str, Any]:
    """The ``chat`` JSON as it was posted, put together again, with what was appended since."""
    chat = detail.chat
    document = {**chat.document, "title": chat.title}
    if LIST in chat.layout:
        document[LIST] = [_as_listed(message) for message in detail.messages if not message.posted or LIST in message.posted]
    if TREE in chat.layout:
        document[TREE] = _history(chat.document.get(TREE) or {}, detail.messages)
    return document


def message_document(message: Message) -> dict[str, Any]:
    """A message as JSON: as it was posted."""
    document = {"id": message.id, "role": message.role, "content": message.content, "timestamp": message.timestamp, **message.extra}
    if message.content is None and "no_content" in message.posted:
        del document["content"]
    if not message.role and "no_role" in message.posted:
        del document["role"]
    return document


def _history(rest: Mapping[str, Any], messages: Iterable[Message]) -> dict[str, Any]:
    """The tree; what was appended hangs below the current message, one below the other."""
    members = [message for message in messages if not message.posted or TREE in message.posted]
    nodes = {message.id: message_document(message) for message in members}
    history: dict[str, Any] = {**rest, LIST: nodes}
    appended = [message.id for message in members if not message.posted]
    if appended:
        leaf = rest.get("currentId")
        if not isinstance(leaf, str) or leaf not in nodes:
            leaf = next((message.id for message in reversed(members) if message.posted), None)
        for message_id in appended:
            _hang(nodes, message_id, leaf)
            leaf = message_id
        history["currentId"] = leaf
    return history


def _hang(nodes: dict[str, dict[str, Any]], message_id: str, parent_id: str | None) -> None:
    """Link a message and its parent, unless it names another itself."""
    node = nodes[message_id]
    node.setdefault("childrenIds", [])
    above = node.setdefault("parentId", parent_id)
    parent = nodes.get(above) if isinstance(above, str) else None
    if parent is not None:
        children = parent.get("childrenIds")
        parent["childrenIds"] = [*(children if isinstance(children, list) else ()), message_id]


def _as_listed(message: Message) -> dict[str, Any]:
    own = message.posted.get(LIST)
    return dict(own) if isinstance(own, dict) else message_document(message)


def _merged(node: Message | None, item: Message | None) -> Message:
    """One row of what stands in the tree, in the list, or in both."""
    posted: dict[str, Any] = {}
    if item is not None:
        posted[LIST] = True if node is None or node == item else message_document(item)
    if node is not None:
        posted[TREE] = True
    row = cast("Message", node or item)
    return msgspec.structs.replace(row, posted={**row.posted, **posted})


def _row(message: dict[str, Any], message_id: str, chat_id: str, known: Message | None, now: int) -> Message:
    """What does not fit a field's type stays in ``extra``, which has the last word when the message is written out."""
    extra = {} if message.keys() <= _FIELDS else {name: value for name, value in message.items() if name not in _FIELDS}
    if message.get("id") is not None and not isinstance(message["id"], str):
        extra["id"] = message["id"]
    timestamp = message.get("timestamp")
    if timestamp is None:
        timestamp = known.timestamp if known else now
        if known and "timestamp" in known.extra:
            extra["timestamp"] = known.extra["timestamp"]
    elif type(timestamp) is not int or not -_INT64 <= timestamp < _INT64:
        extra["timestamp"] = timestamp
        timestamp = int(timestamp) if isinstance(timestamp, float) and abs(timestamp) < _INT64 else now
    return Message(
        id=message_id,
        chat_id=chat_id,
        position=0,
        role=message.get("role", ""),
        content=message.get("content"),
        timestamp=timestamp,
        extra=extra,
        posted={f"no_{name}": True for name in ("content", "role") if name not in message},
    )


def _id(message: dict[str, Any], there: Message | None) -> str:
    """The posted id, else the one that the same message got when it was posted before, else a new one."""
    if message.get("id") not in {None, ""}:
        return str(message["id"])
    if there and (there.role, there.content) == (message.get("role", ""), message.get("content")):
        return there.id
    return str(uuid.uuid4())


def _check(message: Any, where: str) -> None:
    _object(message, where)
    if not isinstance(message.get("role", ""), str):
        _refuse(f"{where}.role", "a string such as 'user', 'assistant' or 'system'")
    if message.get("id") is not None and type(message["id"]) not in {str, int}:
        _refuse(f"{where}.id", "a string")


def _object(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        _refuse(where, "an object")
    return value


def _refuse(field: str, wanted: str) -> NoReturn:
    message = f"{field} must be {wanted}."
    raise BadRequest(message, param=field)
