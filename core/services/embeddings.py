"""Vectors of texts: asked for and waited for. The making is a worker's.

A request travels in Redis beside its job; so do the vectors, which are gone when they were fetched.
"""

import asyncio
import time
from collections.abc import Sequence

import msgspec

from core.errors import BadRequest
from core.jobs import EMBED, KINDS, queue_of
from core.jobs.calls import Calls
from core.json.decoding import parse
from core.logging import request_id
from core.models.catalog import Model, Task
from core.models.completions import Usage
from core.models.embeddings import MAX_INPUTS, EmbeddingRequest, EmbeddingSpec, Vectors
from core.models.jobs import JobSpec
from core.models.pools import Pool
from core.models.users import Principal
from core.services.models.models import Models

QUERY_BYTES = 4_096  # of a request: a question or two; what is longer comes after those


class Embeddings:
    """The service of vectors."""

    def __init__(self, models: Models, calls: Calls) -> None:
        self._models = models
        self._calls = calls

    async def embed(self, principal: Principal, body: bytes) -> tuple[EmbeddingRequest, Vectors]:
        """The vectors of an OpenAI request's inputs, in their order.

        Cancelled, it stops the job. Raises BadRequest naming the field at fault, ModelNotFound, and whatever the model's worker says.
        """
        request = await parse(body, EmbeddingRequest)
        count = _count(request)
        model, custom = await self._models.resolve(principal, request.model, Task.EMBEDDING)
        served = custom.base_model_id if custom else model.id
        return request, await self._make(principal.id, model, served, body, count=count, is_bulk=len(body) > QUERY_BYTES)

    async def embed_query(self, owner: str, model: Model, text: str) -> bytes:
        """The vector of what somebody looks for, ahead of all that is embedded in bulk. ``owner``: on whose behalf. Raises as ``embed``."""
        body = msgspec.json.encode({"model": model.id, "input": text})
        return (await self._make(owner, model, model.id, body, count=1, is_bulk=False)).data

    async def embed_passages(self, owner: str, model: Model, texts: Sequence[str]) -> Vectors:
        """The vectors of passages, of which there may be many more. Raises as ``embed``."""
        body = await asyncio.to_thread(msgspec.json.encode, {"model": model.id, "input": texts})
        return await self._make(owner, model, model.id, body, count=len(texts), is_bulk=True)

    async def _make(self, owner: str, model: Model, served: str, body: bytes, *, count: int, is_bulk: bool) -> Vectors:
        kind = EMBED[Pool(model.pool)]
        spec = JobSpec(
            id=self._calls.new_id(),
            kind=kind,
            queue=queue_of(kind, served, KINDS[kind].classes[-1 if is_bulk else 0]),
            owner=owner,
            created_at=int(time.time()),
            payload=msgspec.Raw(msgspec.json.encode(EmbeddingSpec(served=served))),
            request_id=request_id(),
        )
        finished, data = await self._calls.make(spec, body)
        usage = finished.usage or Usage(prompt_tokens=0, completion_tokens=0, total_tokens=0)
        return Vectors(data=data, count=count, usage=usage)


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
