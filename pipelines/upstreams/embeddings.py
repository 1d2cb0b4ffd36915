"""Embeddings of upstreams: what they are sent, and the vectors in their answers."""

import base64
import binascii
import sys
from array import array
from typing import Any

import msgspec

from core.errors import UpstreamError
from core.models.completions import Usage
from core.models.embeddings import Vectors
from pipelines.embedding import EmbeddingTask
from pipelines.upstreams.endpoint import Endpoint, decode_answer
from pipelines.upstreams.schemas import EmbeddingAnswer


def body_of(task: EmbeddingTask) -> bytes:
    """The client's request as it came, but for the form of the vectors: numbers are what every server knows."""
    body: dict[str, Any] = msgspec.json.decode(task.body)
    body.pop("user", None)
    return msgspec.json.encode({**body, "model": task.served, "encoding_format": "float"})


def vectors_of(body: bytes, endpoint: Endpoint) -> Vectors:
    """The vectors in an answer, by their indexes. Raises UpstreamError where they are not of one length."""
    answer = decode_answer(body, EmbeddingAnswer, endpoint)
    try:
        rows = [_packed(row.embedding) for row in sorted(answer.data, key=lambda row: row.index)]
    except (binascii.Error, OverflowError):
        rows = []
    if len(set(map(len, rows))) != 1:
        message = f"The upstream {endpoint.url} gave no vectors of one length."
        raise UpstreamError(message)
    tokens = (answer.usage and answer.usage.prompt_tokens) or 0
    return Vectors(data=b"".join(rows), count=len(rows), usage=Usage(prompt_tokens=tokens, completion_tokens=0, total_tokens=tokens))


def _packed(vector: list[float] | str) -> bytes:
    """Little-endian float32."""
    if isinstance(vector, str):
        return base64.b64decode(vector, validate=True)
    numbers = array("f", vector)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers.tobytes()
