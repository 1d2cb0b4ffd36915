"""Vectors of texts: asked for and waited for. The making is a worker's.

A request travels in Redis beside its job; so do the vectors, which are gone when they were fetched.
"""

import asyncio
import time
from contextlib import aclosing, suppress

import msgspec
from structlog.contextvars import get_contextvars

from core.errors import BadRequest, PenstockError, Unavailable
from core.events import EventLog
from core.jobs import EMBED
from core.jobs.claims import Claims
from core.jobs.queue import JobQueue
from core.jobs.results import Results
from core.json.decoding import parse
from core.models.catalog import Task
from core.models.completions import Usage
from core.models.embeddings import MAX_INPUTS, EmbeddingRequest, Vectors
from core.models.events import Event, Failed, Finished
from core.models.generations import JobSpec
from core.models.pools import Pool
from core.models.users import Principal
from core.redis.workers import WorkerRegistry
from core.services.models.models import Models

PATIENCE_S = 10.0


class Embeddings:
    """The service of vectors."""

    def __init__(
        self, *, models: Models, workers: WorkerRegistry, claims: Claims, queue: JobQueue, events: EventLog, results: Results
    ) -> None:
        self._models = models
        self._workers = workers
        self._claims = claims
        self._queue = queue
        self._events = events
        self._results = results

    async def embed(self, principal: Principal, body: bytes) -> tuple[EmbeddingRequest, Vectors]:
        """The vectors of an OpenAI request's inputs, in their order.

        Cancelled, it stops the job. Raises BadRequest naming the field at fault, ModelNotFound, and whatever the model's worker says.
        """
        request = await parse(body, EmbeddingRequest)
        count = _count(request)
        model, custom = await self._models.resolve(principal, request.model, Task.EMBEDDING)
        kind = EMBED[Pool(model.pool)]
        spec = JobSpec(
            id=self._events.new_id(),
            user_id=principal.id,
            model=model.id,
            queue=kind.queue,
            seed=0,
            created_at=int(time.time()),
            body=msgspec.Raw(body),
            request_id=str(get_contextvars().get("request_id", "")),
            base_model=custom.base_model_id if custom else "",
        )
        self._events.expect(spec.id)
        await self._claims.submit(spec)
        await self._queue.enqueue(kind(id=spec.id))
        try:
            usage = await self._ended(spec.id, Pool(model.pool))
            data = await self._results.get(spec.id)
        finally:
            await asyncio.shield(self._forget(spec.id))
        if data is None:
            message = "The vectors were made, but Redis has lost them. Ask again."
            raise Unavailable(message, retry_after=1)
        return request, Vectors(data=data, count=count, usage=usage)

    async def _forget(self, job_id: str) -> None:
        """Stop a job that goes on, and keep nothing of it: its texts may be long, and nobody can ask again."""
        with suppress(PenstockError):
            await self._claims.cancel(job_id)
            await self._results.forget(job_id)

    async def _ended(self, job_id: str, pool: Pool) -> Usage:
        """Wait for a job's end; not for ever for a worker that nobody has started."""
        last = asyncio.ensure_future(self._last(job_id))
        try:
            while not (await asyncio.wait((last,), timeout=PATIENCE_S))[0]:
                if not await self._workers.has_live_worker(pool):
                    message = f"No {pool} worker is running, and only that pool can answer this. Start one: penstock worker {pool}."
                    raise Unavailable(message, retry_after=5)
        finally:
            last.cancel()
        event = last.result()
        if isinstance(event, Finished):
            return event.usage
        if isinstance(event, Failed):
            raise event.error()
        message = "This request was stopped."
        raise Unavailable(message)

    async def _last(self, job_id: str) -> Event | None:
        event: Event | None = None
        async with aclosing(self._events.subscribe(job_id, fresh=True)) as entries:
            async for _, event in entries:  # noqa: B007 - the last one is what is wanted
                pass
        return event


def _count(request: EmbeddingRequest) -> int:
    try:
        count = len(request.inputs)
    except ValueError as error:
        fault = f"input: must be {error}."
        raise BadRequest(fault, param="input") from None
    if count > MAX_INPUTS:
        fault = f"input: at most {MAX_INPUTS} inputs at once; these are {count}."
        raise BadRequest(fault, param="input")
    return count
