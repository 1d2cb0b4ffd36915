"""Draws api/static/user.png, the picture of users who have none. Source of the format: the PNG specification, third edition."""

import struct
import zlib
from pathlib import Path

TARGET = Path(__file__).parent.parent / "api" / "static" / "user.png"
SIDE = 256
SAMPLES = 4
LEVELS = SAMPLES * SAMPLES
PAPER, INK = (229, 231, 235), (150, 157, 169)
SHAPES = ((0.5, 0.39, 0.17, 0.17), (0.5, 1.0, 0.34, 0.36))  # head and shoulders: ellipses' middles and radii, the side being 1


def level(column: int, row: int) -> int:
    """How much of a pixel is inside: 0 to LEVELS."""
    offsets = [(index + 0.5) / SAMPLES for index in range(SAMPLES)]
    return sum(inside((column + x) / SIDE, (row + y) / SIDE) for x in offsets for y in offsets)


def inside(x: float, y: float) -> bool:
    """Whether a point belongs to the figure."""
    return any(((x - middle) / across) ** 2 + ((y - height) / up) ** 2 < 1 for middle, height, across, up in SHAPES)


def chunk(kind: bytes, data: bytes) -> bytes:
    """One chunk of a PNG file."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def picture() -> bytes:
    """The file."""
    palette = b"".join(
        bytes(round(paper + (ink - paper) * step / LEVELS) for paper, ink in zip(PAPER, INK, strict=True)) for step in range(LEVELS + 1)
    )
    rows = b"".join(b"\0" + bytes(level(column, row) for column in range(SIDE)) for row in range(SIDE))
    header = struct.pack(">IIBBBBB", SIDE, SIDE, 8, 3, 0, 0, 0)  # eight bits a pixel, of a palette
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"PLTE", palette)
        + chunk(b"IDAT", zlib.compress(rows, level=9))
        + chunk(b"IEND", b"")
    )


TARGET.write_bytes(picture())
