"""Fixtures of the core tests."""

from tests.core.chat_service import chats, generations, notifications, read_markers
from tests.core.stores import atomic_records, atomic_settings, records, store_settings
from tests.job_backend import backend, jobs_url, new_spec

__all__ = [
    "atomic_records",
    "atomic_settings",
    "backend",
    "chats",
    "generations",
    "jobs_url",
    "new_spec",
    "notifications",
    "read_markers",
    "records",
    "store_settings",
]
