"""Document stores by parameter, and the services of chats over them."""

from collections.abc import AsyncIterator

import pytest

from core.services.chats import Chats
from core.services.rooms import Rooms
from core.services.shown import Shown
from core.storage.chats import Chats as ChatRows
from core.storage.documents import Documents
from core.storage.generations import Generations
from core.storage.messages import Messages
from core.storage.redis import Scripts
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
async def shown(desk: Desk) -> AsyncIterator[Shown]:
    shown = Shown(Scripts(desk.redis, patience_s=0))
    yield shown
    await shown.close()


@pytest.fixture
def chats(documents: Documents, rooms: Rooms, shown: Shown) -> Chats:
    return chats_over(documents, rooms, shown)


def chats_over(documents: Documents, rooms: Rooms, shown: Shown) -> Chats:
    """The service over a store."""
    return Chats(
        rows=ChatRows(documents),
        messages=Messages(documents),
        generations=Generations(documents),
        shares=Shares(documents),
        rooms=rooms,
        shown=shown,
    )
