"""What a file says, for workers: where nobody has read it yet, that is waited for."""

from collections.abc import Awaitable, Callable

from core.errors import BadRequest, NotFound
from core.models.documents import DocumentRecord
from core.models.events import Cancelled, Failed
from core.models.files import File, FileStatus
from core.services.files.documents import Documents
from core.services.files.files import Files
from core.services.files.processing import Processing


class Reading:
    """Files as documents. Who may see a file has been asked before."""

    def __init__(self, files: Files, documents: Documents, processing: Processing) -> None:
        self._files = files
        self._documents = documents
        self._processing = processing

    async def find(self, file_id: str, on_wait: Callable[[], Awaitable[object]] | None = None) -> tuple[File, DocumentRecord]:
        """A file and its document. ``on_wait``: called where it must be read first.

        Raises NotFound where the file is gone, BadRequest, in its parser's words, where it cannot be read, and what has hindered that.
        """
        file, last = await self._files.find(file_id), None
        if file and file.status is not FileStatus.FAILED and not await self._documents.find(file):
            if on_wait:
                await on_wait()
            if file.status is FileStatus.COMPLETED:  # its document went with another file of the same bytes
                await self._files.set_status(file.id, FileStatus.PENDING)
                await self._processing.begin_again(file)
            else:
                await self._processing.submit(file)
            last = await self._processing.wait(file)
            if isinstance(last, Cancelled):  # by somebody else, who waited for it and needs it no more
                await self._files.set_status(file.id, FileStatus.PENDING)
                await self._processing.begin_again(file)
                last = await self._processing.wait(file)
            file = await self._files.find(file_id)
        if file is None:
            message = "The file was deleted before it was read."
            raise NotFound(message)
        record = await self._documents.find(file)
        if record is None:
            if isinstance(last, Failed) and not file.error:
                raise last.error()
            raise BadRequest(file.error or "The file could not be read.")
        return file, record

    async def stop(self, file_id: str) -> None:
        """Whoever waited for a file that is read on demand needs it no more. Raises Unavailable."""
        file = await self._files.find(file_id)
        if file and file.on_demand and file.status is FileStatus.PENDING:
            await self._processing.stop(file)
