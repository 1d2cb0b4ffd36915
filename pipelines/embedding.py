"""From texts to vectors, by way of whatever can embed."""

from typing import Protocol

import msgspec

from core.errors import UpstreamError
from core.json.decoding import decode
from core.models.embeddings import EmbeddingRequest, Vectors


class EmbeddingTask(msgspec.Struct, frozen=True, kw_only=True):
    """A job's part of the work: its request as read, and as it came.

    ``served``: the model that is asked; ``is_bulk``: others may go first.
    """

    served: str
    body: bytes
    request: EmbeddingRequest
    is_bulk: bool = False


class Embedder(Protocol):
    """The local model, or an upstream."""

    async def embed(self, task: EmbeddingTask) -> Vectors:
        """All inputs' vectors. Cancelling it ends it. Raises core.errors."""


async def embed(served: str, body: bytes, embedder: Embedder, *, is_bulk: bool = False) -> Vectors:
    """A job's vectors, as many as it has inputs and all of one length. Raises UpstreamError where they are not."""
    task = EmbeddingTask(served=served, body=body, request=decode(body, EmbeddingRequest), is_bulk=is_bulk)
    vectors = await embedder.embed(task)
    count = len(task.request.inputs)
    if vectors.count != count or not vectors.data or len(vectors.data) % (4 * count):
        message = f"{served} gave {vectors.count} vectors for {count} inputs, or none of one length."
        raise UpstreamError(message)
    return vectors
