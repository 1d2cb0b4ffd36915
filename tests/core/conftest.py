"""Fixtures of the core tests."""

from tests.core.chat_service import chats, generations, rooms, shown
from tests.core.stores import atomic_documents, atomic_settings, documents, store_settings
from tests.job_backend import desk, new_spec

__all__ = [
    "atomic_documents",
    "atomic_settings",
    "chats",
    "desk",
    "documents",
    "generations",
    "new_spec",
    "rooms",
    "shown",
    "store_settings",
]
