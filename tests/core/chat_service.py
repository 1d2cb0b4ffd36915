"""The services of chats over each document store: fixtures for whoever names this module in a conftest."""

import time
from collections.abc import AsyncIterator

import pytest

from core.models.chats import ChatDetail
from core.models.users import Principal
from core.redis.client import Scripts
from core.redis.read_markers import Given, Shown
from core.services.chats.chats import Chats
from core.services.notifications import Rooms
from core.storage.chats import Chats as ChatRows
from core.storage.generations import Generations
from core.storage.messages import Messages
from core.storage.records.port import Documents
from core.storage.shares import Shares
from tests.job_backend import Desk


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


async def shown_to(chats: Chats, client: Principal, chat_id: str) -> ChatDetail:
    """A chat as a client gets it, of which is noted what it was given."""
    since = time.time_ns() // 1000
    detail = await chats.get(client, chat_id)
    chats.given(client, chat_id, Given.of(detail.messages, since))
    return detail


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
