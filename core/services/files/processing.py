"""Has files read: the reading is a worker's."""

import time
from contextlib import aclosing, suppress

from core.errors import PenstockError
from core.events import EventLog
from core.jobs import PARSE, queue_of
from core.jobs.claims import Claims
from core.jobs.queue import JobQueue
from core.jobs.results import Results
from core.jobs.waiting import waiting_for
from core.logging import get_logger, request_id
from core.models.events import Event
from core.models.files import File
from core.models.jobs import JobSpec

log = get_logger(face="core")


class Processing:
    """``begin`` may be called again for a file: it is read once. One that is lost on the way is begun again by reconciliation."""

    def __init__(self, queue: JobQueue, claims: Claims, results: Results, events: EventLog) -> None:
        self._queue = queue
        self._claims = claims
        self._events = events
        self._results = results

    async def begin(self, file: File) -> None:
        """Have a new file read. Never raises: it is here, and what is away now comes back."""
        try:
            await self.submit(file)
        except PenstockError as error:
            log.warning("waiting", why=error.detail, file_id=file.id)

    async def begin_again(self, file: File) -> None:
        """Have one read again whose reading had ended. Never raises."""
        with suppress(PenstockError):
            await self._results.forget(job_id_of(file))
        await self.begin(file)

    async def stop(self, file: File) -> None:
        """Nobody needs its text any more; later it may be submitted again. Never raises."""
        with suppress(PenstockError):
            if await self._claims.cancel(job_id_of(file)) == "queued":
                await self._results.forget(job_id_of(file))

    async def wait(self, file: File) -> Event | None:
        """Until it has been read, or given up: how that ended, where it is known."""
        event: Event | None = None
        with waiting_for(PARSE):
            async with aclosing(self._events.subscribe(job_id_of(file))) as events:
                async for _, event in events:  # noqa: B007 - the last one is what is wanted
                    pass
        return event

    async def submit(self, file: File) -> None:
        """The same as ``begin``. Raises Unavailable."""
        spec = JobSpec(
            id=job_id_of(file),
            kind=PARSE,
            queue=queue_of(PARSE),
            owner=file.user_id,
            created_at=int(time.time()),
            request_id=request_id(),
        )
        await self._queue.submit(spec, file.id.encode())


def job_id_of(file: File) -> str:
    """One a file, so that it is not read twice at a time."""
    return f"parse-{file.id}"
