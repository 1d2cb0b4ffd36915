"""Ids that rise with time, so that what is made together lies together in every index."""

import os
import time
import uuid

_VERSION, _VARIANT = 7 << 76, 2 << 62
_RANDOM = (1 << 74) - 1
_VARIANT_BITS = 62


def new_id() -> str:
    """A UUID of version 7 (RFC 9562, section 5.7): the milliseconds since 1970, then 74 random bits. Python 3.14 brings ``uuid.uuid7``."""
    chance = int.from_bytes(os.urandom(10), "big") & _RANDOM
    high, low = chance >> _VARIANT_BITS, chance & ((1 << _VARIANT_BITS) - 1)
    return str(uuid.UUID(int=(time.time_ns() // 1_000_000) << 80 | _VERSION | high << 64 | _VARIANT | low))
