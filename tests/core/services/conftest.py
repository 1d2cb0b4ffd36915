"""Document stores by parameter, and the services of chats over them."""

import pytest

from core.services.chats import Chats
from core.services.rooms import Rooms
from core.storage.chats import Chats as ChatRows
from core.storage.documents import Documents
from core.storage.generations import Generations
from core.storage.messages import Messages
from core.storage.shares import Shares
from tests.core.stores import atomic_documents, atomic_settings, documents, store_settings
from tests.desk import Desk

__all__ = ["atomic_documents", "atomic_settings", "documents", "store_settings"]


@pytest.fixture
def generations(documents: Documents) -> Generations:
    return Generations(documents)


@pytest.fixture
def rooms(desk: Desk) -> Rooms:
    return Rooms(desk.claims, desk.log)


@pytest.fixture
def chats(documents: Documents, rooms: Rooms) -> Chats:
    return chats_over(documents, rooms)


def chats_over(documents: Documents, rooms: Rooms) -> Chats:
    """The service over a store."""
    return Chats(
        rows=ChatRows(documents),
        messages=Messages(documents),
        generations=Generations(documents),
        shares=Shares(documents),
        rooms=rooms,
    )
