"""Pulls of models: asked for, listened to, stopped. The fetching is a worker's. For administrators."""

import re
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing

import msgspec

from core.errors import BadRequest, Conflict, Forbidden, NotFound, PenstockError, Unavailable
from core.events import START, EventLog, position
from core.jobs import PULL, queue_of
from core.jobs.claims import Claims
from core.jobs.queue import JobQueue
from core.logging import request_id
from core.models.events import Event
from core.models.jobs import JobSpec, JobStatus
from core.models.pulls import Origin, Pull, PullTask, StartPull
from core.models.users import Principal
from core.storage.pulls import Pulls as PullRows

SHOWN = 100
ATTEMPTS = 3
SUBMITTED_S = 60

_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*(:[\w.-]+)?")
_EVENT_ID = re.compile(r"\d{1,15}(-\d{1,15})?")
_NO_PULL = "There is no such pull."


class Pulls:
    """The service of pulls."""

    def __init__(self, rows: PullRows, claims: Claims, queue: JobQueue, events: EventLog, *, ollamas: tuple[str, ...]) -> None:
        """``ollamas``: the URLs of the Ollama servers that can be told to pull."""
        self._rows = rows
        self._claims = claims
        self._queue = queue
        self._events = events
        self._ollamas = tuple(url.rstrip("/") for url in ollamas)

    async def start(self, principal: Principal, command: StartPull) -> Pull:
        """Pull a model; one that is being pulled already goes on for both. Raises Forbidden, BadRequest."""
        _may_pull(principal)
        task = self._task(command)
        slot = f"{task.source or 'any'} {task.upstream} {task.name}"
        for _ in range(ATTEMPTS):
            now = int(time.time())
            pull = Pull(
                id=self._events.new_id(),
                user_id=principal.id,
                name=task.name,
                source=task.source,
                upstream=task.upstream,
                status=JobStatus.IN_PROGRESS,
                created_at=now,
                updated_at=now,
            )
            try:
                await self._rows.insert(pull, slot)
            except Conflict:
                running = await self._rows.in_slot(slot)
                if running and not await self._lost(running):
                    return running
                continue
            await self._submit(pull, task)
            return pull
        message = "This model's pull is being started and ended by too many at once. Try again in a moment."
        raise Unavailable(message, retry_after=1)

    async def list(self, principal: Principal) -> list[Pull]:
        """Those that run, and recent ones: the newest first. Raises Forbidden."""
        _may_pull(principal)
        return await self._rows.recent(SHOWN)

    async def get(self, principal: Principal, pull_id: str) -> Pull:
        """One. Raises Forbidden, NotFound."""
        _may_pull(principal)
        found = await self._rows.get(pull_id)
        if found is None:
            raise NotFound(_NO_PULL)
        return found

    async def listen(self, principal: Principal, pull_id: str, after: str = START) -> AsyncGenerator[tuple[str, Event], None]:
        """A pull's events after an id; none where they are no longer kept. Raises Forbidden, NotFound, BadRequest."""
        if not _EVENT_ID.fullmatch(after):
            message = f"{after[:40]!r} is not an event id. Send the id of the last event you saw, or nothing."
            raise BadRequest(message, param="Last-Event-ID")
        pull = await self.get(principal, pull_id)
        if pull.status.ended and await self._claims.spec(pull_id) is None:
            return
        epoch, seq = position(after)
        async with aclosing(self._events.subscribe(pull_id, f"{epoch}-{seq}")) as entries:
            async for entry in entries:
                yield entry

    async def stop(self, principal: Principal, pull_id: str) -> None:
        """Stop a pull; what arrived stays for the next one. One that has ended stays as it is. Raises Forbidden, NotFound."""
        pull = await self.get(principal, pull_id)
        if await self._claims.cancel(pull.id) != "running":
            await self._rows.finish(pull.id, JobStatus.CANCELLED)

    async def progress(self, pull_id: str, step: str, total: int | None, completed: int) -> None:
        """For the worker: how far it is."""
        await self._rows.progress(pull_id, step, total, completed)

    async def finish(self, pull_id: str, status: JobStatus, error: str | None = None) -> None:
        """For the worker: it has ended."""
        await self._rows.finish(pull_id, status, error=error)

    async def _submit(self, pull: Pull, task: PullTask) -> None:
        spec = JobSpec(
            id=pull.id,
            kind=PULL,
            queue=queue_of(PULL),
            owner=pull.user_id,
            created_at=pull.created_at,
            request_id=request_id(),
        )
        try:
            await self._queue.submit(spec, msgspec.json.encode(task))
        except PenstockError as error:
            await self._rows.finish(pull.id, JobStatus.FAILED, error=error.detail)
            raise

    async def _lost(self, pull: Pull) -> bool:
        """Whether Redis knows nothing of it: then it has ended, and its slot is free."""
        if time.time() - pull.created_at < SUBMITTED_S or await self._claims.spec(pull.id):
            return False
        await self._rows.finish(pull.id, JobStatus.FAILED, error="Its job was lost.")
        return True

    def _task(self, command: StartPull) -> PullTask:
        name = (command.name or command.model or "").strip()
        if not name:
            message = "name: name the model to pull: owner/name of a Hugging Face repository, or Ollama's name for it."
            raise BadRequest(message, param="name")
        source = command.source or (None if "/" in name and command.upstream is None else Origin.OLLAMA)
        if source is Origin.OLLAMA and not self._ollamas:
            message = (
                f"No Ollama server is configured that could pull {name!r}. Set PENSTOCK_OLLAMA_BASE_URLS, "
                "or name a Hugging Face repository: owner/name."
            )
            raise BadRequest(message, param="name")
        repository = bool(_REPOSITORY.fullmatch(name)) and ".." not in name
        if not repository and (source is Origin.HUGGINGFACE or (source is None and not self._ollamas)):
            message = f"name: {name!r} is not the name of a Hugging Face repository. Write owner/name."
            raise BadRequest(message, param="name")
        if source is None and not repository:
            source = Origin.OLLAMA
        return PullTask(name=name, source=source, upstream="" if source is Origin.HUGGINGFACE else self._upstream(command.upstream))

    def _upstream(self, wanted: int | str | None) -> str:
        """The Ollama that is meant."""
        if wanted is None:
            return self._ollamas[0] if self._ollamas else ""
        if isinstance(wanted, str) and wanted.isdigit():
            wanted = int(wanted)
        if isinstance(wanted, int) and 0 <= wanted < len(self._ollamas):
            return self._ollamas[wanted]
        if isinstance(wanted, str) and wanted.rstrip("/") in self._ollamas:
            return wanted.rstrip("/")
        message = f"upstream: there are {len(self._ollamas)} Ollama servers. Send a number from 0, or a URL of PENSTOCK_OLLAMA_BASE_URLS."
        raise BadRequest(message, param="upstream")


def _may_pull(principal: Principal) -> None:
    if not principal.is_admin:
        message = "Only administrators may pull models."
        raise Forbidden(message)
