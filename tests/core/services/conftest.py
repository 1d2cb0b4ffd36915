"""Document stores by parameter."""

from tests.core.stores import atomic_documents, atomic_settings, documents, store_settings

__all__ = ["atomic_documents", "atomic_settings", "documents", "store_settings"]
