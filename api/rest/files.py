"""Files: sent, listed, found, read and deleted. One's own; for administrators all."""

from typing import Annotated, Any

import msgspec
from aiohttp import web

from api.http.downloads import Download, send
from api.http.json import json_response, read_query
from api.http.keys import PRINCIPAL, SERVICES
from api.http.uploads import receive
from core.models.files import File, FileStatus
from core.services.files import files

MAX_LIMIT = 1_000
MAX_PAGE = 100_000
TOTAL = "X-Total-Count"
ANY = "*/*"

Limit = Annotated[int, msgspec.Meta(ge=1, le=MAX_LIMIT)]
Page = Annotated[int, msgspec.Meta(ge=1, le=MAX_PAGE)]


class NewFile(msgspec.Struct, frozen=True, kw_only=True):
    """``file``: the file itself; ``metadata``: a JSON object that is kept with it, as text."""

    file: Annotated[str, msgspec.Meta(extra_json_schema={"format": "binary", "contentMediaType": "application/octet-stream"})]
    metadata: Annotated[str, msgspec.Meta(examples=["{}"])] | msgspec.UnsetType = msgspec.UNSET


class SendFile(msgspec.Struct, frozen=True, kw_only=True):
    """``process``: whether its text is read at once; else when somebody needs it, as where it is put into a knowledge base."""

    process: bool = True


class ListFiles(msgspec.Struct, frozen=True, kw_only=True):
    """``limit`` many after the one whose id is ``after``, or the ``page``, counted from 1. ``all``: everybody's, for administrators."""

    limit: Limit | None = None
    after: str | None = None
    page: Page | None = None
    all: bool = False


class SearchFiles(msgspec.Struct, frozen=True, kw_only=True):
    """``filename``: a pattern for the whole name, whatever its case: `*` stands for any text, `?` for any character.

    ``limit``: how many at most, of the ``page``, counted from 1. ``all``: everybody's, for administrators.
    """

    filename: Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
    limit: Limit | None = None
    page: Page | None = None
    all: bool = False


class ReadFile(msgspec.Struct, frozen=True, kw_only=True):
    """``attachment``: a browser saves it, also where it could show it."""

    attachment: bool = False


class FileData(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What has become of its text, why it failed, and what of it could not be read."""

    status: FileStatus
    error: str | None = None
    missing: tuple[str, ...] = ()


class FileMeta(msgspec.Struct, frozen=True, kw_only=True):
    """``content_type``: what the bytes are, whatever was said of them; ``size``: in bytes; ``data``: what its sender said of it."""

    name: str
    content_type: str
    size: int
    data: dict[str, Any]


class FileResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A file. Times are Unix seconds; ``hash``: the SHA-256 of its bytes, in hexadecimal."""

    id: str
    user_id: str
    filename: str
    hash: str
    data: FileData
    meta: FileMeta
    created_at: int
    updated_at: int

    @classmethod
    def of(cls, file: File) -> "FileResponse":
        """From the model."""
        return cls(
            id=file.id,
            user_id=file.user_id,
            filename=file.filename,
            hash=file.hash,
            data=FileData(status=file.status, error=file.error, missing=file.missing),
            meta=FileMeta(name=file.filename, content_type=file.content_type, size=file.size, data=file.metadata),
            created_at=file.created_at,
            updated_at=file.updated_at,
        )


class UploadResponse(FileResponse, frozen=True, kw_only=True):
    """The file that was sent. ``status``: that it is here."""

    status: bool


class FileContent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """All of its text, as it was read; empty while nobody has read it, and where that failed."""

    content: str
    status: FileStatus
    error: str | None = None


class DeletedFile(msgspec.Struct, frozen=True, kw_only=True):
    """It is gone."""

    message: str
    id: str


async def upload(request: web.Request) -> web.Response:
    """``POST /api/files/``: send a file. However large it is, it is kept as it comes.

    Its text is read later: ``data.status`` says how far that is.
    """
    service, wanted = request.app[SERVICES].files, read_query(request, SendFile)
    async with receive(request, service.max_bytes) as incoming:
        file = await service.upload(request[PRINCIPAL], incoming, on_demand=not wanted.process)
    return json_response(UploadResponse(status=True, **msgspec.structs.asdict(FileResponse.of(file))), status=201)


async def list_(request: web.Request) -> web.Response:
    """``GET /api/files/``: one's own files, the newest first: all, or a page of them.

    ``X-Total-Count``: how many there are on all pages.
    """
    wanted = read_query(request, ListFiles)
    command = files.ListFiles(everybody=wanted.all, limit=wanted.limit, after=wanted.after, page=wanted.page)
    found, total = await request.app[SERVICES].files.list(request[PRINCIPAL], command)
    return json_response([FileResponse.of(file) for file in found], headers={TOTAL: str(total)})


async def search(request: web.Request) -> web.Response:
    """``GET /api/files/search``: one's own files of a name, the newest first."""
    wanted = read_query(request, SearchFiles)
    command = files.ListFiles(everybody=wanted.all, limit=wanted.limit, page=wanted.page)
    found = await request.app[SERVICES].files.search(request[PRINCIPAL], wanted.filename, command)
    return json_response([FileResponse.of(file) for file in found])


async def get(request: web.Request) -> web.Response:
    """``GET /api/files/{file_id}``: what is known of a file."""
    return json_response(FileResponse.of(await request.app[SERVICES].files.get(request[PRINCIPAL], request.match_info["file_id"])))


async def content(request: web.Request) -> web.StreamResponse:
    """``GET /api/files/{file_id}/content``: a file's bytes.

    All of them, or one range (``Range``); 304 to a client that has them already (``If-None-Match``). A browser shows pictures, PDF and
    plain text, and saves everything else.
    """
    service = request.app[SERVICES].files
    file = await service.get(request[PRINCIPAL], request.match_info["file_id"])
    download = Download(file.filename, file.content_type, file.size, file.hash, lambda start, length: service.read(file, start, length))
    return await send(request, download, attached=read_query(request, ReadFile).attachment)


async def text(request: web.Request) -> web.Response:
    """``GET /api/files/{file_id}/data/content``: what was read out of a file, as text."""
    services = request.app[SERVICES]
    file = await services.files.get(request[PRINCIPAL], request.match_info["file_id"])
    content = FileContent(content=await services.documents.text(file), status=file.status, error=file.error)
    return json_response(content)


async def delete(request: web.Request) -> web.Response:
    """``DELETE /api/files/{file_id}``: delete a file, with all that was made of it."""
    file_id = request.match_info["file_id"]
    await request.app[SERVICES].files.delete(request[PRINCIPAL], file_id)
    return json_response(DeletedFile(message="File deleted successfully", id=file_id))
