"""Files: taken in, found, read and deleted. What becomes of their text is others' work: until it is done, a file is pending."""

import asyncio
import fnmatch
import re
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Any, Protocol

import msgspec

from core.errors import BadRequest, Forbidden, NotFound, TooLarge, Unauthenticated, UnsupportedType
from core.ids import new_id
from core.json.offload import map_in_turns
from core.models.files import File, FileStatus
from core.models.users import Principal
from core.services.files.content_types import HEAD_BYTES, UNKNOWN, allows, sniff
from core.services.files.names import clean
from core.services.files.processing import Processing
from core.storage.blobs.port import Blobs
from core.storage.files import Files as FileRows
from core.storage.records.port import fold_case
from core.storage.users import Users as UserRows

PAGE = 30
AT_ONCE = 100
BYTES_PER_MB = 1_048_576

_NO_FILE = "There is no such file. It may have been deleted, or belong to somebody else."
_NOT_LITERAL = re.compile(r"\*|\?|\[!?\]?[^\]]*\]")


class Incoming(Protocol):
    """A file that arrives."""

    @property
    def filename(self) -> str:
        """As its sender calls it."""

    @property
    def metadata(self) -> dict[str, Any]:
        """What its sender says of it; known when all pieces have come."""

    def pieces(self) -> AsyncGenerator[bytes, None]:
        """Its bytes, a piece at a time. Raises BadRequest for what cannot be read."""


class ListFiles(msgspec.Struct, frozen=True, kw_only=True):
    """``everybody``: all users' files; ``after``: the id of the last file before, or ``page``: of ``limit`` files, counted from 1."""

    everybody: bool = False
    limit: int | None = None
    after: str | None = None
    page: int | None = None


class Files:
    """The service of files."""

    def __init__(
        self, rows: FileRows, blobs: Blobs, users: UserRows, processing: Processing, *, max_mb: int, types: tuple[str, ...]
    ) -> None:
        """``types``: media types that are taken, such as ``text/*``; none: all. ``on_delete``: called with each file before it goes."""
        self._processing = processing
        self.max_bytes = max_mb * BYTES_PER_MB
        self.on_delete: list[Callable[[File], Awaitable[object]]] = []
        self._rows = rows
        self._blobs = blobs
        self._users = users
        self._types = types

    async def upload(self, principal: Principal, incoming: Incoming, *, on_demand: bool = False) -> File:
        """Keep a file, whatever its size, in little memory. What breaks off leaves nothing. ``on_demand``: nobody reads it for now.

        Raises BadRequest for an empty one, TooLarge, UnsupportedType, and what ``incoming`` raises.
        """
        arrival = _Arrival(incoming, self.max_bytes, self._types)
        file_id = new_id()
        async with aclosing(arrival.pieces()) as pieces:
            written = await self._blobs.write(file_id, pieces)
        now = int(time.time())
        file = File(
            id=file_id,
            user_id=principal.id,
            filename=arrival.name,
            content_type=arrival.kind,
            size=written.size,
            hash=written.sha256,
            created_at=now,
            updated_at=now,
            metadata=incoming.metadata,
            on_demand=on_demand or None,
        )
        try:
            await self._rows.insert(file)
            await self._check_still_there(principal)
        except BaseException:
            await asyncio.shield(self._take_back(file))
            raise
        if not on_demand:
            await self._processing.begin(file)
        return file

    async def list(self, principal: Principal, command: ListFiles) -> tuple[list[File], int]:
        """Their own, or for an administrator everybody's, the newest first; and how many there are on all pages.

        Raises Forbidden, BadRequest for an ``after`` that is no file of these.
        """
        owner = _owner(principal, everybody=command.everybody)
        after = None if command.after is None else await self._place(command.after, owner)
        limit, skipped = command.limit, 0
        if command.page is not None:
            limit = limit or PAGE
            skipped = (command.page - 1) * limit
        return await self._rows.find(owner, after=after, limit=limit, skip=skipped), await self._rows.count(owner)

    async def search(self, principal: Principal, pattern: str, command: ListFiles) -> Sequence[File]:
        """Those whose whole name a pattern such as ``*.txt`` describes, whatever its case: ``*`` is any text, ``?`` any character."""
        owner = _owner(principal, everybody=command.everybody)
        folded = fold_case(pattern)
        literal = max(_NOT_LITERAL.split(folded), key=len)
        describes = re.compile(fnmatch.translate(folded)).match
        named = await self._rows.find(owner, named=literal)
        fit = await map_in_turns(lambda file: describes(fold_case(file.filename)) is not None, named)
        found = [file for file, fits in zip(named, fit, strict=True) if fits]
        limit = command.limit or (PAGE if command.page else len(found))
        first = ((command.page or 1) - 1) * limit
        return found[first : first + limit]

    async def get(self, principal: Principal, file_id: str) -> File:
        """One of theirs; for an administrator, anybody's. Raises NotFound."""
        file = await self._rows.get(file_id)
        if file is None or not (file.user_id == principal.id or principal.is_admin):
            raise NotFound(_NO_FILE)
        return file

    async def get_several(self, principal: Principal, file_ids: Sequence[str]) -> dict[str, File]:
        """Some of theirs, by id; for an administrator, anybody's. Raises NotFound for the first that is not there or not theirs."""
        found = {file.id: file for file in await self._rows.of_ids(file_ids) if file.user_id == principal.id or principal.is_admin}
        for file_id in file_ids:
            if file_id not in found:
                message = f"There is no file {file_id[:40]!r}. It may have been deleted, or belong to somebody else. Nothing was begun."
                raise NotFound(message)
        return found

    def read(self, file: File, start: int = 0, length: int | None = None) -> AsyncGenerator[bytes, None]:
        """The bytes of a file that ``get`` has given, or a part of them, a piece at a time; to be closed. Raises NotFound."""
        return self._blobs.read(file.id, start, length)

    async def delete(self, principal: Principal, file_id: str) -> None:
        """Take away one of theirs, with all that was made of it. Raises NotFound."""
        await self._remove(await self.get(principal, file_id))

    async def read_again(self, principal: Principal, file_id: str) -> File:
        """Have one of theirs read that waits for that, or again where it could not be read. Raises NotFound."""
        file = await self.get(principal, file_id)
        if file.on_demand and file.status is FileStatus.PENDING:
            await self._processing.begin(file)
        await self.begin_again(file_id)
        return await self.get(principal, file_id)

    async def begin_again(self, file_id: str) -> None:
        """For other services: the same, whoever's."""
        file = await self._rows.get(file_id)
        if file and file.status is FileStatus.FAILED and await self.set_status(file.id, FileStatus.PENDING):
            await self._processing.begin_again(file)

    async def wait(self, file: File) -> File:
        """Until one of theirs has been read, or given up. Raises NotFound where it is deleted meanwhile."""
        if file.status is FileStatus.PENDING:
            await self._processing.wait(file)
        found = await self._rows.get(file.id)
        if found is None:
            raise NotFound(_NO_FILE)
        return found

    async def remove_user(self, user_id: str) -> None:
        """Take away all of a user's."""
        while found := await self._rows.find(user_id, limit=AT_ONCE):
            for file in found:
                await self._remove(file)

    async def find(self, file_id: str) -> File | None:
        """For workers: one, whoever's."""
        return await self._rows.get(file_id)

    async def same_bytes(self, file: File) -> Sequence[File]:
        """For workers: all files with the same bytes, whoever's, itself among them: what was made of one serves all."""
        return await self._rows.of_hash(file.hash)

    async def set_status(self, file_id: str, status: FileStatus, *, error: str | None = None, missing: Sequence[str] = ()) -> bool:
        """For workers: what has become of its text, why it failed or what of it is missing; whether the file is still there."""
        return await self._rows.set_status(file_id, status, int(time.time()), error=error, missing=missing)

    async def discard(self, file_id: str) -> None:
        """For upkeep: take away one that nobody needs any more, whoever's."""
        if file := await self._rows.get(file_id):
            await self._remove(file)

    async def _place(self, file_id: str, owner: str | None) -> File:
        file = await self._rows.get(file_id)
        if file is None or owner not in {None, file.user_id}:
            message = "after: there is no such file in this list. Send the id of the last file you saw, or nothing."
            raise BadRequest(message, param="after")
        return file

    async def _check_still_there(self, principal: Principal) -> None:
        """Whoever was deleted while they sent it has had their files taken away before this one was among them."""
        if await self._users.get(principal.id) is None:
            message = "This account was deleted."
            raise Unauthenticated(message)

    async def _remove(self, file: File) -> None:
        """What was made of it first, its row last: what breaks off in the middle can be asked for again."""
        for forget in self.on_delete:
            await forget(file)
        await self._forget(file)

    async def _take_back(self, file: File) -> None:
        """One that was not kept, or not for sure: its row first, which may be there all the same. While it is, it has its bytes."""
        await self._rows.remove(file.id)
        await self._blobs.delete(file.id)

    async def _forget(self, file: File) -> None:
        await self._blobs.delete(file.id)
        await self._rows.remove(file.id)


class _Arrival:
    """A file's pieces on their way in, looked at as they pass."""

    def __init__(self, incoming: Incoming, max_bytes: int, types: tuple[str, ...]) -> None:
        self.name = clean(incoming.filename)
        self.kind = UNKNOWN
        self._incoming = incoming
        self._max_bytes = max_bytes
        self._types = types

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """The same pieces."""
        head, size = bytearray(), 0
        async with aclosing(self._incoming.pieces()) as pieces:
            async for piece in pieces:
                size += len(piece)
                if size > self._max_bytes:
                    raise too_large(self._max_bytes)
                missing = HEAD_BYTES - len(head)
                head += piece[:missing]
                if 0 < missing <= len(piece):
                    self._look(bytes(head))
                yield piece
        if not size:
            message = "The file is empty. Send one with something in it."
            raise BadRequest(message, param="file")
        if size < HEAD_BYTES:
            self._look(bytes(head))

    def _look(self, head: bytes) -> None:
        self.kind = sniff(head, self.name)
        if not allows(self._types, self.kind):
            message = f"The file is {self.kind}, which is not taken here: only {', '.join(self._types)}."
            raise UnsupportedType(message, param="file")


def too_large(max_bytes: int) -> TooLarge:
    """What is told of a file that is larger."""
    return TooLarge(f"The file is larger than {max_bytes // BYTES_PER_MB} MB, which is the limit.", param="file")


def _owner(principal: Principal, *, everybody: bool) -> str | None:
    if not everybody:
        return principal.id
    if not principal.is_admin:
        message = "Only administrators may see everybody's files. Leave `all` out to see your own."
        raise Forbidden(message)
    return None
