"""Ids: UUIDs of version 7, one never like another, later ones behind earlier ones."""

import time
import uuid
from unittest.mock import patch

from core.ids import new_id


def test_an_id_is_a_uuid_of_version_7_that_begins_with_the_time() -> None:
    before = time.time_ns() // 1_000_000
    found = uuid.UUID(new_id())
    assert (found.version, found.variant) == (7, uuid.RFC_4122)
    assert before <= found.int >> 80 <= time.time_ns() // 1_000_000


def test_ids_of_one_moment_differ_and_those_of_the_next_sort_behind_them() -> None:
    with patch("time.time_ns", return_value=1_700_000_000_000_000_000):
        first = {new_id() for _ in range(1_000)}
    with patch("time.time_ns", return_value=1_700_000_000_001_000_000):
        second = {new_id() for _ in range(1_000)}
    assert len(first) == len(second) == 1_000
    assert max(first) < min(second)


def test_ids_made_one_after_the_other_sort_as_they_were_made() -> None:
    """Also within a millisecond: a microsecond is enough."""
    made = []
    for step in range(1_000):
        with patch("time.time_ns", return_value=1_700_000_000_000_000_000 + step * 1_000):
            made.append(new_id())
    assert made == sorted(made)


def test_every_bit_behind_the_time_is_chance() -> None:
    ids = [uuid.UUID(new_id()).int & ((1 << 62) - 1) for _ in range(200)]
    moving = 0
    for found in ids:
        moving |= found ^ ids[0]
    assert moving == (1 << 62) - 1
