"""The services of chats over each document store: fixtures for whoever names this module in a conftest."""

import time
from collections.abc import AsyncIterator

import pytest

from core.models.chats import ChatDetail
from core.models.users import Principal
from core.redis.client import Scripts
from core.redis.read_markers import DeliveredMessages, ReadMarkers
from core.services.chats.chats import Chats
from core.services.notifications import Notifications
from core.storage.chats import Chats as ChatRows
from core.storage.generations import Generations
from core.storage.messages import Messages
from core.storage.records.port import Records
from core.storage.shares import Shares
from tests.job_backend import JobBackend


@pytest.fixture
def generations(records: Records) -> Generations:
    return Generations(records)


@pytest.fixture
def notifications(backend: JobBackend) -> Notifications:
    return Notifications(backend.claims, backend.log)


@pytest.fixture
async def read_markers(backend: JobBackend) -> AsyncIterator[ReadMarkers]:
    read_markers = ReadMarkers(Scripts(backend.client, patience_s=0))
    yield read_markers
    await read_markers.close()


@pytest.fixture
def chats(records: Records, notifications: Notifications, read_markers: ReadMarkers) -> Chats:
    return open_chats(records, notifications, read_markers)


async def deliver_chat(chats: Chats, client: Principal, chat_id: str) -> ChatDetail:
    """A chat as a client gets it, of which is noted what it was given."""
    since = time.time_ns() // 1000
    detail = await chats.get(client, chat_id)
    chats.note_delivered(client, chat_id, DeliveredMessages.of(detail.messages, since))
    return detail


def open_chats(records: Records, notifications: Notifications, read_markers: ReadMarkers) -> Chats:
    """The service over a store."""
    return Chats(
        rows=ChatRows(records),
        messages=Messages(records),
        generations=Generations(records),
        shares=Shares(records),
        notifications=notifications,
        read_markers=read_markers,
    )
