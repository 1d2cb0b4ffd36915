"""The order of a chat's messages. Pure."""

from collections.abc import Mapping, Sequence

import msgspec

from core.models.chats import Message


def arrange(listed: Sequence[str], tree: Sequence[str]) -> list[str]:
    """The ids of a list and of a tree in one order: the list's own, and as far as that allows the tree's."""
    if not tree or not listed:
        return list(listed or tree)
    places = {message_id: place for place, message_id in enumerate(listed)}
    order: list[str] = []
    taken = 0
    for message_id in tree:
        place = places.get(message_id)
        if place is None:
            order.append(message_id)
        elif place >= taken:
            order.extend(listed[taken : place + 1])
            taken = place + 1
    return [*order, *listed[taken:]]


def assign_positions(messages: Sequence[Message], before: Mapping[str, Message], stored: int) -> list[Message]:
    """The messages with positions that rise, new ones ``stored`` now.

    One that was there keeps its own place where that can be: its row need not be written.
    """
    last = -1
    found = []
    for message in messages:
        old = before.get(message.id)
        last = old.position if old is not None and old.position > last else last + 1
        found.append(msgspec.structs.replace(message, position=last, stored=old.stored if old is not None else stored))
    return found
