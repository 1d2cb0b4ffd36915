"""A file that a form brings, on its way in: never whole in memory."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from api.http.disconnects import GoingAway
from api.http.keys import CONNECTIONS
from api.http.multipart import Multipart, Part
from api.http.pace import keep_pace
from core.errors import BadRequest, Unavailable, UnsupportedType
from core.json.decoding import decode
from core.services.files.files import too_large

FORM = "multipart/form-data"
FILE, METADATA = "file", "metadata"
MAX_FIELD_BYTES = 65_536
MAX_FIELDS = 16
FORM_BYTES = 1_048_576  # what a form may hold beside its file


class Upload:
    """The file in a form. ``metadata`` is known when all of its pieces have come, because it may stand behind the file."""

    def __init__(self, form: Multipart) -> None:
        self.filename = ""
        self.metadata: dict[str, Any] = {}
        self._form = form
        self._fields = 0

    async def find(self) -> None:
        """Read up to the file. Raises BadRequest where there is none."""
        while part := await self._next():
            if part.name == FILE:
                self.filename = part.filename or ""
                return
            await self._read_field(part)
        message = "file is missing. Send the file in a field that is called so."
        raise BadRequest(message, param=FILE)

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """The file's bytes, and then whatever stands behind it. Raises BadRequest."""
        async for piece in self._form.pieces():
            yield piece
        while part := await self._next():
            if part.name == FILE:
                message = "file: there are several. Send one at a time."
                raise BadRequest(message, param=FILE)
            await self._read_field(part)

    async def _next(self) -> Part | None:
        self._fields += 1
        if self._fields > MAX_FIELDS:
            message = f"The form has more than {MAX_FIELDS} fields. Send `{FILE}`, and `{METADATA}` if you like."
            raise BadRequest(message)
        return await self._form.next()

    async def _read_field(self, part: Part) -> None:
        if part.filename is not None and part.name != METADATA:
            message = f"The file came in a field that is called {part.name[:40]!r}. Call it {FILE!r}."
            raise BadRequest(message, param=FILE)
        body = await self._form.read(MAX_FIELD_BYTES)
        if part.name == METADATA and body.strip():
            self.metadata = _metadata(body)


@asynccontextmanager
async def receive(request: web.Request, max_bytes: int) -> AsyncGenerator[Upload, None]:
    """The file that a request brings, for as long as its client is there, sends it quickly enough, and may send it at all.

    Raises UnsupportedType for what is no form, TooLarge by its length, BadRequest, Unavailable when the process stops.
    """
    if request.content_type != FORM:
        message = f"Send the file as {FORM}, in a field that is called {FILE!r}."
        raise UnsupportedType(message)
    if (request.content_length or 0) > max_bytes + FORM_BYTES:
        raise too_large(max_bytes)
    try:
        async with request.app[CONNECTIONS].hold(request), keep_pace(request.content):
            upload = Upload(Multipart(request.content, request.headers["Content-Type"]))
            await upload.find()
            yield upload
    except GoingAway:
        message = "The server is restarting. Send the file again."
        raise Unavailable(message, retry_after=1) from None


def _metadata(body: bytes) -> dict[str, Any]:
    try:
        return decode(body, dict[str, Any] | None) or {}  # type: ignore[arg-type]  # a union is no type to mypy
    except BadRequest as error:
        message = 'metadata must be a JSON object, such as {"source": "mail"}.'
        raise BadRequest(message, param=METADATA) from error
