"""Forms with files, read piece by piece. Source of the format: RFC 7578, and the HTML standard for how browsers write names.

aiohttp's reader takes no name with two semicolons in it, warns of headers that it does not like, and of what breaks off it raises whatever
comes to hand.
"""

import re
from collections.abc import AsyncGenerator
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from aiohttp import StreamReader

from core.errors import BadRequest

PIECE_BYTES = 262_144
MAX_HEAD_BYTES = 16_384  # of a part, and of what stands before the first one

_BOUNDARY = re.compile(r';\s*boundary=(?:"([^"\r\n]{1,70})"|([^\s;"]{1,70}))', re.IGNORECASE)
_PARAMETER = re.compile(r";\s*([\w!#$%&'*+.^`|~-]+)\s*=\s*(?:\"((?:[^\"\\]|\\.)*)\"|([^;]*))", re.ASCII | re.DOTALL)
_ESCAPED = re.compile(r"\\([\"\\])")
_FROM_BROWSERS = (("%22", '"'), ("%0D", "\r"), ("%0A", "\n"))
_PLAIN = frozenset({"", "7bit", "8bit", "binary"})
_NEWLINE, _END, _LAST = b"\r\n", b"\r\n\r\n", b"--"


class Part(NamedTuple):
    """A field of a form. ``filename``: None where it is no file."""

    name: str
    filename: str | None


class Multipart:
    """A form's body. ``next`` goes to the next field, ``pieces`` reads that one."""

    def __init__(self, body: StreamReader, content_type: str) -> None:
        """Raises BadRequest where the header names no boundary."""
        found = _BOUNDARY.search(content_type)
        if found is None:
            raise BadRequest(_because("its Content-Type names no boundary"))
        self._delimiter = b"\r\n--" + (found[1] or found[2]).encode("utf-8", "surrogateescape")
        self._body = body
        self._buffer = bytearray(_NEWLINE)  # the first delimiter may stand at the very beginning
        self._inside = True  # what stands before it is nobody's
        self._ended = False

    async def next(self) -> Part | None:
        """The next field, whatever is left of the one before; None at the end. Raises BadRequest."""
        if self._ended:
            return None
        await self._skip()
        del self._buffer[: len(self._delimiter)]
        await self._fill(len(_LAST))
        if self._buffer.startswith(_LAST):
            self._ended = True
            return None
        head = await self._head()
        self._inside = True
        return _part(head)

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """The field's bytes, in pieces of PIECE_BYTES and somewhat more. Raises BadRequest."""
        overlap, searched = len(self._delimiter) - 1, 0
        while self._inside:
            found = self._buffer.find(self._delimiter, searched)
            if found >= 0:
                self._inside = False
                searched = found
            else:
                searched = max(0, len(self._buffer) - overlap)
            if searched >= PIECE_BYTES or (found > 0):
                piece = bytes(memoryview(self._buffer)[:searched])
                del self._buffer[:searched]
                searched = 0
                yield piece
            if self._inside:
                await self._fill(len(self._buffer) + 1)

    async def read(self, limit: int) -> bytes:
        """A short field, whole. Raises BadRequest for one that is longer."""
        gathered = bytearray()
        async for piece in self.pieces():
            gathered += piece
            if len(gathered) > limit:
                raise BadRequest(_because(f"a field beside the file is longer than {limit} bytes"))
        return bytes(gathered)

    async def _skip(self) -> None:
        skipped = 0
        async for piece in self.pieces():
            skipped += len(piece)
            if skipped > MAX_HEAD_BYTES:
                raise BadRequest(_because("there is more in it than the fields that are read"))

    async def _head(self) -> bytes:
        """What stands between a delimiter and a field's bytes."""
        searched = 0
        while (end := self._buffer.find(_END, searched)) < 0:
            if len(self._buffer) > MAX_HEAD_BYTES:
                raise BadRequest(_because("a field's headers do not end"))
            searched = max(0, len(self._buffer) - len(_END) + 1)
            await self._fill(len(self._buffer) + 1)
        head = bytes(memoryview(self._buffer)[:end])
        del self._buffer[: end + len(_END)]
        padding, _, headers = head.partition(_NEWLINE)
        if padding.strip(b" \t"):
            raise BadRequest(_because("something stands behind a boundary"))
        return headers

    async def _fill(self, wanted: int) -> None:
        while len(self._buffer) < wanted:
            data = await self._body.readany()
            if not data:
                raise BadRequest(_because("it breaks off"))
            self._buffer += data


def _part(head: bytes) -> Part:
    """By its headers, as bytes: they may be of any encoding."""
    headers = {}
    for line in head.decode("utf-8", "surrogateescape").split("\r\n"):
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    if headers.get("content-transfer-encoding", "").lower() not in _PLAIN:
        raise BadRequest(_because("a field is encoded. Send its bytes as they are"))
    parameters = {found[1].lower(): _value(found[2], found[3]) for found in _PARAMETER.finditer(headers.get("content-disposition", ""))}
    if "name" not in parameters:
        raise BadRequest(_because("a field has no name"))
    filename = _extended(parameters.get("filename*")) or parameters.get("filename")
    return Part(parameters["name"], filename)


def _value(quoted: str | None, plain: str | None) -> str:
    value = (plain or "").strip() if quoted is None else _ESCAPED.sub(r"\1", quoted)
    for written, meant in _FROM_BROWSERS:
        value = value.replace(written, meant)
    return value


def _extended(value: str | None) -> str | None:
    """``UTF-8''na%C3%AFve.txt``: forms should have none of these, but some programs write them."""
    charset, quotes, text = (value or "").partition("''")
    return unquote_to_bytes(text).decode("utf-8", "surrogateescape") if quotes and charset.lower() == "utf-8" else None


def _because(why: str) -> str:
    return f"The form cannot be read: {why}."
