"""A Penstock somewhere, as the command line asks it: over its REST API, with an API key."""

import asyncio
import os
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import Any, TypeVar
from urllib.parse import urlsplit

import aiohttp
import msgspec

from core.errors import (
    BadRequest,
    Conflict,
    Forbidden,
    NotFound,
    PenstockError,
    RateLimited,
    SettingsError,
    TooLarge,
    Unauthenticated,
    Unavailable,
    UnsupportedType,
)
from core.models.ingestion import IngestFile
from core.models.jobs import JobStatus
from core.models.knowledge import FileState
from penstock import upload_form
from penstock.local_files import PIECE_BYTES, LocalFile

PAGE = 5_000
JOBS = 100
SENT = 1_000
PATIENCE_S = 120.0
PAUSE_S, MAX_PAUSE_S = 0.5, 8.0
CONNECT_S = 10
SILENT_S = 120
SILENT_STREAM_S = 45  # a stream says every 15 seconds that it lives
SMALL_BYTES = PIECE_BYTES

T = TypeVar("T")

_ERRORS = {
    error.status: error for error in (BadRequest, Forbidden, NotFound, Conflict, TooLarge, UnsupportedType, RateLimited, Unavailable)
}


class Base(msgspec.Struct, frozen=True, kw_only=True):
    """A knowledge base."""

    id: str
    name: str


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A file in a base."""

    id: str
    path: str | None
    file_id: str
    hash: str
    size: int
    status: FileState
    error: str | None
    chunks: int
    pages: int | None
    job_id: str | None


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A job that puts files into a base."""

    id: str
    status: JobStatus
    total: int = 0
    completed: int = 0
    failed: int = 0
    chunks: int = 0
    pages: int = 0
    waiting: str | None = None


class JobEvent(msgspec.Struct, frozen=True, kw_only=True):
    """What is told of a job. ``id``: what the next one comes after; of ``progress``, files."""

    id: str = ""
    type: str = ""
    total: int = 0
    completed: int = 0
    failed: int = 0


class _Meta(msgspec.Struct, frozen=True, kw_only=True):
    data: dict[str, Any] = {}


class SentFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file that was sent, by whatever means. ``created_at``: Unix seconds."""

    id: str
    hash: str
    created_at: int
    meta: _Meta

    @property
    def place(self) -> tuple[str, str]:
        """For which base it was sent, and which path in it; empty where ``upload`` has not sent it."""
        return str(self.meta.data.get("knowledge_id", "")), str(self.meta.data.get("path", ""))


class _Id(msgspec.Struct, frozen=True, kw_only=True):
    id: str


class _Problem(msgspec.Struct, frozen=True, kw_only=True):
    detail: str = ""


class Server:
    """Asked again while it is away or asked too often; ``on_wait`` is told why. Raises what it answers, as core.errors has it."""

    def __init__(self, url: str, api_key: str, on_wait: Callable[[str], None]) -> None:
        """Raises SettingsError for what is no address of a server."""
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.netloc:
            message = f"--server: {url.rpartition('@')[2]!r} is not the address of a server, such as http://127.0.0.1:8080."
            raise SettingsError(message)
        self.url = url.rstrip("/")
        self._on_wait = on_wait
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=SILENT_S)
        self._session = aiohttp.ClientSession(headers={"Authorization": f"Bearer {api_key}"}, timeout=timeout)
        self._answered = False

    async def close(self) -> None:
        """Let go of its connections."""
        await self._session.close()

    async def bases(self) -> list[Base]:
        """Those whose files one may change."""
        return await self._ask("GET", "/api/knowledge/list", list[Base])

    async def create_base(self, name: str) -> Base:
        """A new one, private."""
        return await self._ask("POST", "/api/knowledge/create", Base, {"name": name})

    async def entries(self, base: Base) -> list[Entry]:
        """All files in a base."""
        found: list[Entry] = []
        while True:
            after = f"&after={found[-1].id}" if found else ""
            page = await self._ask("GET", f"/api/knowledge/{base.id}/files?limit={PAGE}{after}", list[Entry])
            found += page
            if len(page) < PAGE:
                return found

    async def sent(self) -> list[SentFile]:
        """The files that were sent last, the newest first."""
        return await self._ask("GET", f"/api/files/?limit={SENT}", list[SentFile])

    async def delete(self, file_id: str) -> None:
        """Delete a file that was sent."""
        await self._ask("DELETE", f"/api/files/{file_id}", _Id)

    async def upload(self, base: Base, file: LocalFile) -> str:
        """Send a file as it is now, in little memory, to be read when it is put into a base: its id. Raises OSError, too."""

        async def send() -> str:
            opened = await asyncio.to_thread(file.place.open, "rb")
            try:
                size = os.fstat(opened.fileno()).st_size
                head, tail, kind = upload_form.around(file, base.id)
                headers = {"Content-Type": kind, "Content-Length": str(len(head) + size + len(tail))}
                small = head + await asyncio.to_thread(opened.read, size) + tail if size <= SMALL_BYTES else None
                data = small or upload_form.pieces(head, opened, size, tail)
                async with self._session.post(f"{self.url}/api/files/?process=false", data=data, headers=headers) as response:
                    return (await self._read(response, _Id)).id
            finally:
                await asyncio.to_thread(opened.close)

        return await self._patiently(send)

    async def ingest(self, base: Base, files: Sequence[IngestFile]) -> Job:
        """Put files that were sent into a base, by one job."""
        return await self._ask("POST", f"/api/knowledge/{base.id}/ingest", Job, {"files": files, "managed": True})

    async def jobs(self) -> list[Job]:
        """The newest jobs."""
        return await self._ask("GET", f"/api/jobs/?limit={JOBS}", list[Job])

    async def job(self, job_id: str) -> Job:
        """One job."""
        return await self._ask("GET", f"/api/jobs/{job_id}", Job)

    async def events(self, job_id: str, after: str) -> AsyncGenerator[JobEvent, None]:
        """What is told of a job after an event's id, until the server or the connection ends that; to be closed.

        Raises Unavailable where there is nobody, or nothing is heard any more.
        """
        headers, timeout = (
            {"Last-Event-ID": after} if after else {},
            aiohttp.ClientTimeout(sock_connect=CONNECT_S, sock_read=SILENT_STREAM_S),
        )
        try:
            async with self._session.get(f"{self.url}/api/jobs/{job_id}/events", headers=headers, timeout=timeout) as response:
                if not response.ok:
                    await self._read(response, Job)
                event_id = data = b""
                async for line in response.content:
                    name, _, value = line.rstrip(b"\r\n").partition(b":")
                    value = value.removeprefix(b" ")
                    if name == b"id":
                        event_id = value
                    elif name == b"data":
                        data += value
                    elif not name and not value and data:
                        event, data = msgspec.json.decode(data, type=JobEvent), b""
                        if event.type:  # else the stream itself says why it ends
                            yield msgspec.structs.replace(event, id=event_id.decode())
        except (aiohttp.ClientError, TimeoutError, msgspec.MsgspecError) as error:
            raise Unavailable(_reason(error)) from None

    async def cancel(self, job_id: str) -> None:
        """Stop a job."""
        await self._ask("POST", f"/api/jobs/{job_id}/cancel", Job)

    async def remove(self, base: Base, file_id: str) -> None:
        """Take a file out of a base."""
        await self._ask("POST", f"/api/knowledge/{base.id}/file/remove", _Id, {"file_id": file_id})

    async def _ask(self, method: str, path: str, kind: type[T], body: Any = None) -> T:
        async def ask() -> T:
            data, headers = (None, {}) if body is None else (msgspec.json.encode(body), {"Content-Type": "application/json"})
            async with self._session.request(method, self.url + path, data=data, headers=headers) as response:
                return await self._read(response, kind)

        return await self._patiently(ask)

    async def _read(self, response: aiohttp.ClientResponse, kind: type[T]) -> T:
        raw = await response.read()
        try:
            if response.ok:
                return await asyncio.to_thread(msgspec.json.decode, raw, type=kind)
            problem = msgspec.json.decode(raw, type=_Problem)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            if response.status in {502, 503, 504}:  # of a proxy before it
                message = f"{self.url} answers with {response.status}."
                raise Unavailable(message) from None
            if response.status == TooLarge.status:
                message = "A proxy before the server takes nothing as large as this. Raise its limit of a request's body."
                raise TooLarge(message) from None
            message = f"{self.url} does not answer as a Penstock does (status {response.status}). Check --server."
            raise SettingsError(message) from None
        if response.status == Unauthenticated.status:
            message = f"{self.url} does not know this API key ({problem.detail}) Make one with POST /api/users/api_key."
            raise SettingsError(message)
        after = response.headers.get("Retry-After", "")
        error = _ERRORS.get(response.status, PenstockError)
        raise error(problem.detail or f"status {response.status}", retry_after=int(after) if after.isdigit() else None)

    async def _patiently(self, ask: Callable[[], Awaitable[T]]) -> T:
        """One who never answered is not waited for, one who is away longer each time, and a limit of requests for as long as it takes."""
        until, growing_s = time.monotonic() + PATIENCE_S, PAUSE_S
        while True:
            try:
                answer = await ask()
            except RateLimited as error:
                pause_s, why = error.retry_after or PAUSE_S, error.detail
                until = time.monotonic() + PATIENCE_S
            except (aiohttp.ClientError, TimeoutError, Unavailable) as error:
                why = error.detail if isinstance(error, PenstockError) else f"{self.url} cannot be reached ({_reason(error)})."
                if not self._answered or time.monotonic() >= until:
                    message = f"{why} Start `penstock up`, or name another --server."
                    raise Unavailable(message) from None
                pause_s = getattr(error, "retry_after", None) or growing_s
                growing_s = min(2 * growing_s, MAX_PAUSE_S)
            else:
                self._answered = True
                return answer
            self._on_wait(why)
            await asyncio.sleep(pause_s)


def _reason(error: Exception) -> str:
    inner = getattr(error, "os_error", None)
    return (inner.strerror if inner else "") or str(error) or type(error).__name__
