"""A posted document merged into a chat that is there: what each row is to become. Pure."""

import time
from collections.abc import Callable, Collection, Sequence
from typing import Any

from core.chat_documents import edits
from core.chat_documents.document import as_document, build_messages, split_document
from core.models.chats import Chat, ChatDetail, Message, VersionedMessage

Json = dict[str, Any]


class Merge:
    """One attempt: ``detail`` is the chat as it is to be.

    ``posted`` names each message that it holds, so that it can be merged again into something newer. Of the messages that are there, with
    their ``versions`` by id, some are ``altered`` and some ``missing``; others are ``added``.
    """

    def __init__(self, old: Chat, found: Sequence[VersionedMessage], change: Callable[[Json], Json]) -> None:
        """``change`` gives what is posted, of the document that is there. Raises BadRequest, and what ``change`` raises."""
        self._old = old
        self._now, self._stored = int(time.time()), time.time_ns() // 1000
        self._before = [row.plain() for row in found]
        self.versions = {row.id: row.version for row in found}
        self._there = as_document(ChatDetail(chat=old, messages=tuple(self._before)))
        posted = change(self._there)
        merged = edits.merge_document(old, self._there, edits.keep_finished_answers(posted, self._before))
        self._become(merged)
        self._merged = edits.assign_ids(merged, self.detail.messages)
        self.posted = edits.assign_ids(posted, self.detail.messages)

    def keep(self, message_ids: Collection[str]) -> None:
        """Let some of the missing messages stay."""
        self._become(edits.restore_messages(self._merged, self._there, message_ids))

    def _become(self, document: Json) -> None:
        whole = split_document(document)
        after = build_messages(whole, chat_id=self._old.id, now=self._now, stored=self._stored, known=self._before)
        chat = edits.replace_document(self._old, whole.title, whole.document, whole.layout, self._now)
        self.detail = ChatDetail(chat=chat, messages=tuple(after))
        was, held = {message.id: message for message in self._before}, {message.id for message in after}
        self.added: list[Message] = [message for message in after if message.id not in was]
        self.altered: list[Message] = [message for message in after if message.id in was and message != was[message.id]]
        self.missing: list[Message] = [message for message in self._before if message.id not in held]
