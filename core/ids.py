"""Ids that rise with time, so that what is made together lies together in every index."""

import os
import time
import uuid

_VERSION, _VARIANT = 7 << 76, 2 << 62
_CHANCE_BITS, _FRACTION_BITS = 62, 12
_MILLISECOND_NS = 1_000_000


def new_id() -> str:
    """A UUID of version 7 (RFC 9562, sections 5.7 and 6.2, method 3). Python 3.14 brings ``uuid.uuid7``.

    The milliseconds since 1970, then in 12 bits how far the next one is, so that ids of one process sort as they were made; then chance.
    """
    milliseconds, rest = divmod(time.time_ns(), _MILLISECOND_NS)
    fraction = (rest << _FRACTION_BITS) // _MILLISECOND_NS
    chance = int.from_bytes(os.urandom(8), "big") >> (64 - _CHANCE_BITS)
    return str(uuid.UUID(int=milliseconds << 80 | _VERSION | fraction << 64 | _VARIANT | chance))
