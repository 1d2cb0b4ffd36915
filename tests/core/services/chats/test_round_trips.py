"""Whatever a client does with a chat, what it posted comes back: changed, said to in between, cloned, exported and imported."""

import uuid
from typing import Any

from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from core.models.chats import ChatImport, Message
from core.services.chats.chats import Chats, as_document
from core.services.chats.copies import ChatCopies
from core.services.chats.shares import Shares
from core.storage.chats import Chats as ChatRows
from core.storage.records.port import Records
from core.storage.shares import Shares as ShareRows
from core.storage.users import Users
from tests.core.chat_documents.test_document import documents, exact, filled_in
from tests.core.chat_service import deliver_chat
from tests.core.services.people import principal

steps = st.lists(documents() | st.sampled_from(["say", "shorten", "same"]), min_size=1, max_size=5)


def merged(before: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    """The shallow merge, in which a null title and a history without messages say nothing of what is there."""
    found = {**before, **{name: value for name, value in change.items() if name != "title" or value is not None}}
    kept = (before.get("history") or {}).get("messages")
    if kept is not None and "messages" not in (found.get("history") or {}):
        found["history"] = before["history"] if found["history"] is None else {**found["history"], "messages": kept}
    return found


def shorter(before: dict[str, Any]) -> dict[str, Any]:
    """The same chat without the messages that came first."""
    found = dict(before)
    if "messages" in before:
        found["messages"] = before["messages"][1:]
    if "messages" in (before.get("history") or {}):
        found["history"] = {**before["history"], "messages": dict(list(before["history"]["messages"].items())[1:])}
    return found


@hypothesis_settings(
    deadline=None, max_examples=25, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(posted=documents(), changes=steps)
async def test_a_chat_comes_back_as_it_was_posted_however_it_was_changed(
    chats: Chats, records: Records, posted: dict[str, Any], changes: list[Any]
) -> None:
    me = principal()
    created = await chats.create(me, posted)
    chat_id, there = created.chat.id, as_document(created)
    assert exact(there) == exact(filled_in(posted, there))
    for change in changes:
        if change == "say":
            await chats.append(me, chat_id, [Message(id=str(uuid.uuid4()), chat_id="", position=0, role="user", content="?", timestamp=1)])
            there = as_document(await deliver_chat(chats, me, chat_id))
            continue
        change = {"same": there, "shorten": shorter(there)}.get(change, {}) if isinstance(change, str) else change  # noqa: PLW2901
        after = as_document(await chats.update(me, chat_id, change))
        assert exact(after) == exact(filled_in(merged(there, change), after))
        there = as_document(await deliver_chat(chats, me, chat_id))
        assert exact(there) == exact(after)

    rows, shares = ChatRows(records), ShareRows(records)
    shared = Shares(chats, rows, shares, Users(records))
    copies = ChatCopies(chats, rows, shared)
    assert exact(as_document(await copies.clone(me, chat_id, there["title"] or "x"))) == exact({**there, "title": there["title"] or "x"})
    _, share_id = await shared.share(me, chat_id)
    share = await shares.get(share_id)
    assert share is not None
    assert exact(share.chat) == exact(there)
    exported = [as_document(detail) async for details in copies.all(me) for detail in details if detail.chat.id == chat_id]
    assert exact(exported[0]) == exact(there)
    (taken,) = await chats.import_chats(me, [ChatImport(chat=exported[0])])
    assert exact(as_document(await chats.get(me, taken.id))) == exact(there)
