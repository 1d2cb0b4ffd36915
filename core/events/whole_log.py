"""A log that has ended, in few bytes: the texts, and everything else as it was, each entry with its id.

The ids of the tokens behind a text are left out: nobody goes on with what has ended.
"""

import zlib
from collections.abc import Iterable

import msgspec

from core.json.offload import offload
from core.models.events import Delta, Event

LEVEL = 1
WORTHWHILE_BYTES = 256
RAW_WINDOW_BITS, MEMORY_LEVEL = -12, 5  # with zlib's own, what it sets up takes many times as long as a short log

Entry = tuple[str, Event]
Run = tuple[int, int, list[str | Event]]  # an epoch, the first number in it, and an entry for each number from there

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(list[Run]).decode


async def encode(log: Iterable[Entry]) -> bytes:
    """From all entries of a log, in their order."""
    runs: list[Run] = []
    for entry_id, event in log:
        epoch, seq = map(int, entry_id.split("-"))
        if not runs or (epoch, seq) != (runs[-1][0], runs[-1][1] + len(runs[-1][2])):
            runs.append((epoch, seq, []))
        runs[-1][2].append(_shorten(event))
    data = _encode(runs)
    return await offload(len(data), deflate, data)


async def decode(data: bytes) -> list[Entry]:
    """All entries of a log, in their order."""
    return await offload(len(data), _entries, data)


def deflate(data: bytes) -> bytes:
    """Fewer bytes of JSON, where there are many."""
    if len(data) < WORTHWHILE_BYTES:
        return data
    compressor = zlib.compressobj(LEVEL, zlib.DEFLATED, RAW_WINDOW_BITS, MEMORY_LEVEL)
    return compressor.compress(data) + compressor.flush()


def inflate(data: bytes) -> bytes:
    """What was deflated, or was not worth it: what is deflated never begins as a JSON object or list does."""
    return data if data[:1] in {b"{", b"["} else zlib.decompress(data, RAW_WINDOW_BITS)


def _entries(data: bytes) -> list[Entry]:
    return [
        (f"{epoch}-{seq}", Delta(text=item) if isinstance(item, str) else item)
        for epoch, first, items in _decode(inflate(data))
        for seq, item in enumerate(items, first)
    ]


def _shorten(event: Event) -> str | Event:
    if not isinstance(event, Delta):
        return event
    if event.choice == 0 and event.extra is None and event.logprobs is None:
        return event.text
    return msgspec.structs.replace(event, tokens=())
