"""Outlook's .msg files, written out by hand: an OLE file, small enough that all is in its ministream."""

import struct
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

_SECTOR, _MINI = 512, 64
_END, _FREE, _FAT, _NONE = 0xFFFFFFFE, 0xFFFFFFFF, 0xFFFFFFFD, 0xFFFFFFFF
_TEXT, _TIME, _BINARY = 0x001F, 0x0040, 0x0102
_STORAGE, _STREAM, _ROOT = 1, 2, 5
_EPOCH = datetime(1601, 1, 1, tzinfo=UTC)

SUBJECT, SENDER_NAME, SENDER_ADDRESS, BODY, HTML, RICH, FILE_NAME, SENT = 0x0037, 0x0C1A, 0x0C1F, 0x1000, 0x1013, 0x1009, 0x3707, 0x0039

Tree = Mapping[str, "bytes | Tree"]


def write_msg(values: Mapping[int, str | bytes | datetime], attachments: Sequence[str] = ()) -> bytes:
    """A mail with these properties, and attachments of these names."""
    head = bytes(8) + struct.pack("<4I", 0, len(attachments), 0, len(attachments)) + bytes(8)
    tree: dict[str, bytes | Tree] = dict(_write_properties(head, values))
    for number, name in enumerate(attachments):
        tree[f"__attach_version1.0_#{number:08X}"] = _write_properties(bytes(8), {FILE_NAME: name})
    return _write_ole(tree)


def _write_properties(head: bytes, values: Mapping[int, str | bytes | datetime]) -> dict[str, bytes]:
    streams, entries = {}, head
    for name, value in values.items():
        if isinstance(value, datetime):
            entries += struct.pack("<HHIQ", _TIME, name, 6, int((value - _EPOCH).total_seconds()) * 10_000_000)
            continue
        kind, content = (_TEXT, value.encode("utf-16-le")) if isinstance(value, str) else (_BINARY, value)
        streams[f"__substg1.0_{name:04X}{kind:04X}"] = content
        entries += struct.pack("<HHIII", kind, name, 6, len(content) + 2 * (kind == _TEXT), 0)
    return {"__properties_version1.0": entries, **streams}


def _write_ole(tree: Tree) -> bytes:
    entries: list[bytes] = [b""]
    mini = b""
    mini_fat: list[int] = []

    def add(members: Tree) -> int:
        """The number of the first member; each has the next as its right neighbour."""
        following = _NONE
        for name, content in reversed(list(members.items())):
            if isinstance(content, bytes):
                nonlocal mini
                first, count = len(mini_fat), max(-(-len(content) // _MINI), 1)
                mini_fat.extend([*range(first + 1, first + count), _END])
                mini += content.ljust(count * _MINI, b"\0")
                entry = _write_entry(name, _STREAM, following, _NONE, first, len(content))
            else:
                entry = _write_entry(name, _STORAGE, following, add(content), 0, 0)
            entries.append(entry)
            following = len(entries) - 1
        return following

    child = add(tree)
    directory = [*entries, *[bytes(128)] * (-len(entries) % 4)]
    directory_sectors, mini_sectors = len(directory) // 4, -(-len(mini) // _SECTOR)
    mini_fat_sectors = -(-len(mini_fat) * 4 // _SECTOR)
    first_mini_fat = 1 + directory_sectors
    first_mini = first_mini_fat + mini_fat_sectors
    directory[0] = _write_entry("Root Entry", _ROOT, _NONE, child, first_mini, len(mini))
    fat = [_FAT]
    for count in (directory_sectors, mini_fat_sectors, mini_sectors):
        fat.extend([*range(len(fat) + 1, len(fat) + count), _END])
    header = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(16)
    header += struct.pack("<HHHHH6x", 0x3E, 3, 0xFFFE, 9, 6)
    header += struct.pack("<9I", 0, 1, 1, 0, 4096, first_mini_fat, mini_fat_sectors, _END, 0)
    header += struct.pack("<109I", 0, *[_FREE] * 108)
    body = b"".join(directory) + _write_numbers(mini_fat) + mini.ljust(mini_sectors * _SECTOR, b"\0")
    return header + _write_numbers(fat) + body


def _write_entry(name: str, kind: int, right: int, child: int, first: int, size: int) -> bytes:
    encoded = (name + "\0").encode("utf-16-le")
    return encoded.ljust(64, b"\0") + struct.pack("<HBBIII36xIQ", len(encoded), kind, 1, _NONE, right, child, first, size)


def _write_numbers(numbers: Sequence[int]) -> bytes:
    padded = [*numbers, *[_FREE] * (-len(numbers) % 128)]
    return struct.pack(f"<{len(padded)}I", *padded)
