"""What a posted document makes of a chat: a new one, or another version of one that is there. Pure."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec

from core.chat_documents.document import DEFAULT_TITLE, LIST, TREE, Parts, build_messages, split_document
from core.errors import BadRequest, NotFound
from core.ids import new_id
from core.models.chats import Chat, ChatDetail, ChatImport, Message
from core.models.users import Principal

Json = dict[str, Any]

_ANSWERED = ("done", "usage", "error", "stopped")


def new_chat(principal: Principal, document: Json, *, now: int, stored: int) -> ChatDetail:
    """Of a posted document. Raises BadRequest that names the field at fault."""
    pieces, chat_id = split_document(document), new_id()
    chat = Chat(
        id=chat_id,
        user_id=principal.id,
        title=pieces.title or DEFAULT_TITLE,
        document=pieces.document,
        layout=pieces.layout,
        created_at=now,
        updated_at=now,
        session=principal.client,
        stored=stored,
    )
    return ChatDetail(chat=chat, messages=tuple(build_messages(pieces, chat_id=chat_id, now=now, stored=stored)))


def import_chat(principal: Principal, given: ChatImport, where: str, *, now: int, stored: int) -> ChatDetail:
    """Of what a file holds; ``where`` it stands there. Raises BadRequest that names the field at fault."""
    try:
        detail = new_chat(principal, given.chat, now=now, stored=stored)
    except BadRequest as error:
        raise BadRequest(where + error.detail, param=where + (error.param or "")) from None
    kept = {name: value for name, value in msgspec.structs.asdict(given).items() if name != "chat" and value is not None}
    if given.chat.get("title") or not given.title:
        kept.pop("title", None)
    return msgspec.structs.replace(detail, chat=msgspec.structs.replace(detail.chat, **kept))


def import_chats(principal: Principal, chats: Sequence[ChatImport], now: int, stored: int) -> list[ChatDetail]:
    """The same of several, each named by its place."""
    return [import_chat(principal, chat, f"[{place}].", now=now, stored=stored) for place, chat in enumerate(chats)]


def replace_document(old: Chat, title: str | None, document: Json, layout: tuple[str, ...], now: int) -> Chat:
    """The chat's row with a new document."""
    title = old.title if title is None else title or DEFAULT_TITLE
    return msgspec.structs.replace(old, title=title, document=document, layout=layout, updated_at=now)


def merge_fields(old: Chat, pieces: Parts) -> Json:
    """The shallow merge of all but messages. A null in place of a history says nothing about one that is there."""
    silent = TREE in old.layout and pieces.document.get(TREE) is None
    return {**old.document, **{name: value for name, value in pieces.document.items() if not (silent and name == TREE)}}


def merge_document(old: Chat, there: Json, document: Json) -> Json:
    """The shallow merge with the document that is ``there``; a posted history without messages keeps those that are there."""
    found = {**there, **document}
    posted = document.get(TREE)
    if TREE in old.layout and not (isinstance(posted, dict) and LIST in posted):
        found[TREE] = there[TREE] if posted is None else {**posted, LIST: there[TREE][LIST]}
    return found


def assign_ids(document: Json, messages: Sequence[Message]) -> Json:
    """The same with the ids that its list's messages were given, so that posting it again means the same messages."""
    listed = document.get(LIST)
    if not isinstance(listed, list) or all(item.get("id") not in {None, ""} for item in listed):
        return document
    ids = [message.id for message in messages if LIST in message.posted]
    return {
        **document,
        LIST: [item if item.get("id") not in {None, ""} else {**item, "id": own} for item, own in zip(listed, ids, strict=True)],
    }


def message_ids(document: Json) -> set[str]:
    """The ids of the messages in a document, all of which have one."""
    listed, history = document.get(LIST), document.get(TREE)
    nodes = history.get(LIST) if isinstance(history, dict) else None
    return {*(str(item["id"]) for item in listed or ()), *(nodes or ())}


def keep_finished_answers(document: Json, before: Sequence[Message]) -> Json:
    """The same, in which no answer that has ended is put back to what it was when it was still being made."""
    ended = {message.id: message for message in before if message.extra.get("done") is True and message.extra.get("generation_id")}
    if not ended:
        return document

    def renewed(item: Json, key: Any) -> Json:
        row = ended.get(str(key))
        if row is None or item.get("done") is not False or item.get("generation_id") != row.extra["generation_id"]:
            return item
        return {**item, "content": row.content, **{name: row.extra[name] for name in _ANSWERED if name in row.extra}}

    found = dict(document)
    if isinstance(found.get(LIST), list):
        found[LIST] = [renewed(item, item.get("id")) for item in found[LIST]]
    history = found.get(TREE)
    if isinstance(history, dict) and LIST in history:
        found[TREE] = {**history, LIST: {key: renewed(node, key) for key, node in history[LIST].items()}}
    return found


def restore_messages(document: Json, there: Json, kept: Collection[str]) -> Json:
    """The same with some messages of the document that is ``there``: at the list's end, and in the tree below their parents."""
    found = dict(document)
    if LIST in there and isinstance(found.get(LIST), list):
        listed = {str(item.get("id")) for item in found[LIST]}
        found[LIST] = [*found[LIST], *(item for item in there[LIST] if str(item.get("id")) in kept and str(item.get("id")) not in listed)]
    history, old = found.get(TREE), there.get(TREE)
    if isinstance(history, dict) and LIST in history and isinstance(old, dict) and LIST in old:
        nodes = {**history[LIST]} | {key: node for key, node in old[LIST].items() if key in kept and key not in history[LIST]}
        for key in old[LIST]:
            if key in kept and key not in history[LIST]:
                _rehang(nodes, key, old[LIST])
        found[TREE] = {**history, LIST: nodes}
    return found


def _rehang(nodes: Json, key: str, old: Mapping[str, Json]) -> None:
    """Below its parent, or below the nearest above that which is still there."""
    node, above, seen = dict(nodes[key]), nodes[key].get("parentId"), {key}
    while isinstance(above, str) and above not in nodes and above in old and above not in seen:
        seen.add(above)
        above = old[above].get("parentId")
    parent = nodes.get(above) if isinstance(above, str) else None
    if node.get("parentId") != above or (isinstance(above, str) and parent is None):
        node["parentId"] = above if parent is not None else None
    if isinstance(node.get("childrenIds"), list):
        node["childrenIds"] = [child for child in node["childrenIds"] if child in nodes]
    nodes[key] = node
    if parent is not None:
        children = parent.get("childrenIds")
        children = children if isinstance(children, list) else []
        if key not in children:
            nodes[above] = {**parent, "childrenIds": [*children, key]}


def edit_message(document: Json, message_id: str, content: Any) -> Json:
    """The parts of a document that change where a message gets another content. Raises NotFound."""
    return _each(document, message_id, lambda item: {**item, "content": content})


def remove_message(document: Json, message_id: str) -> Json:
    """The parts of a document that change where a message is taken out; what hung below it hangs below its parent. Raises NotFound."""
    found = _each(document, message_id, None)
    if TREE in found:
        gone = document[TREE][LIST][message_id]
        above, below = gone.get("parentId"), gone.get("childrenIds")
        below = below if isinstance(below, list) else []
        history = found[TREE]
        nodes = {key: _closed_up(node, message_id, above, below) for key, node in history[LIST].items()}
        found[TREE] = {**history, LIST: nodes} | ({"currentId": above} if history.get("currentId") == message_id else {})
    return found


def _closed_up(node: Json, gone: str, above: Any, below: Sequence[Any]) -> Json:
    """A neighbour of a message that is taken out."""
    changes: Json = {}
    if node.get("parentId") == gone:
        changes["parentId"] = above
    children = node.get("childrenIds")
    if isinstance(children, list) and gone in children:
        place = children.index(gone)
        changes["childrenIds"] = [*children[:place], *below, *children[place + 1 :]]
    return {**node, **changes}


def _each(document: Json, message_id: str, change: Any) -> Json:
    found: Json = {}
    listed, history = document.get(LIST), document.get(TREE)
    if isinstance(listed, list) and any(str(item.get("id")) == message_id for item in listed):
        altered = [(change(item) if change else None) if str(item.get("id")) == message_id else item for item in listed]
        found[LIST] = [item for item in altered if item is not None]
    if isinstance(history, dict) and message_id in history.get(LIST, {}):
        nodes = {key: (change(node) if change else None) if key == message_id else node for key, node in history[LIST].items()}
        found[TREE] = {**history, LIST: {key: node for key, node in nodes.items() if node is not None}}
    if not found:
        message = "There is no such message in this chat. It may have been deleted."
        raise NotFound(message)
    return found
