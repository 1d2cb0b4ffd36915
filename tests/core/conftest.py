"""Fixtures of the core tests."""

from tests.desk import desk, new_spec

__all__ = ["desk", "new_spec"]
