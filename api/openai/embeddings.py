"""OpenAI's embeddings: ``POST …/embeddings``."""

import base64
import sys
from array import array
from typing import TYPE_CHECKING, Any, Literal

import msgspec
from aiohttp import web

from api.http.json import encode, raw_json
from api.http.keys import CONNECTIONS, PRINCIPAL, SERVICES
from core.json.offload import offload
from core.models.embeddings import EmbeddingRequest, Vectors

if TYPE_CHECKING:
    from collections.abc import Callable


class Embedding(msgspec.Struct, frozen=True, kw_only=True):
    """One input's vector: numbers, or base64 of little-endian float32."""

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str


class EmbeddingUsage(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens, counted."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingsResponse(msgspec.Struct, frozen=True, kw_only=True):
    """All inputs' vectors, in their order."""

    object: Literal["list"] = "list"
    data: list[Embedding]
    model: str
    usage: EmbeddingUsage


async def create(request: web.Request) -> web.Response:
    """Embed a text, token ids, or a list of at most 2048 of either. A client that goes away stops it."""
    body = await request.read()
    async with request.app[CONNECTIONS].hold(request):
        asked, vectors = await request.app[SERVICES].embeddings.embed(request[PRINCIPAL], body)
    return raw_json(await offload(len(vectors.data), _written, asked, vectors))


def _written(asked: EmbeddingRequest, vectors: Vectors) -> bytes:
    """The answer's JSON. Each vector is written by itself: the event loop gets its turn between two of many."""
    form: Callable[[bytes], Any] = _base64 if asked.encoding_format == "base64" else _numbers
    data = b",".join(encode(Embedding(index=index, embedding=form(row))) for index, row in enumerate(vectors.rows()))
    usage = EmbeddingUsage(prompt_tokens=vectors.usage.prompt_tokens, total_tokens=vectors.usage.total_tokens)
    head, tail = encode(EmbeddingsResponse(data=[], model=asked.model, usage=usage)).split(b"[]", 1)
    return head + b"[" + data + b"]" + tail


def _base64(row: bytes) -> str:
    return base64.b64encode(row).decode()


def _numbers(row: bytes) -> list[float]:
    numbers = array("f", row)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers.tolist()
