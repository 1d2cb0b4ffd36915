"""OpenAI's embeddings request. What we do not read still travels to an upstream.

Source: the ``CreateEmbeddingRequest`` schema of OpenAI's API reference.
"""

from enum import StrEnum
from typing import Annotated, Literal

import msgspec

from core.models.completions import Usage

MAX_INPUTS = 2048

Text = Annotated[str, msgspec.Meta(min_length=1)]
Token = Annotated[int, msgspec.Meta(ge=0)]
Tokens = Annotated[list[Token], msgspec.Meta(min_length=1)]
Input = str | list[int]


class EmbeddingDtype(StrEnum):
    """In which numbers a local embedding model is computed on a processor."""

    AUTO = "auto"
    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"


class EmbeddingRequest(msgspec.Struct, frozen=True, kw_only=True):
    """``input``: a text, its token ids, or a list of at most 2048 of either.

    ``encoding_format`` base64: each vector as little-endian float32. ``dimensions``: shorter vectors, of models that can.
    """

    model: str
    input: Text | Annotated[list[Text | Token | Tokens], msgspec.Meta(min_length=1)]
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: Annotated[int, msgspec.Meta(ge=1)] | None = None
    user: str | None = None

    @property
    def inputs(self) -> list[Input]:
        """One by one. Raises ValueError for a list of mixed kinds."""
        if isinstance(self.input, str):
            return [self.input]
        kinds = {type(item) for item in self.input}
        if len(kinds) > 1:
            message = "either strings, or token ids, or lists of token ids, but not of several kinds"
            raise ValueError(message)
        if kinds == {int}:
            return [[item for item in self.input if isinstance(item, int)]]
        return [item for item in self.input if not isinstance(item, int)]


class EmbeddingSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker needs to know of a request; its job's payload. ``served``: the model that it is asked for."""

    served: str


class Vectors(msgspec.Struct, frozen=True, kw_only=True):
    """What a model made of some inputs: little-endian float32 [inputs, dimensions], rows one after the other."""

    data: bytes
    count: int
    usage: Usage

    def rows(self) -> list[bytes]:
        """Each input's own."""
        size = len(self.data) // self.count
        return [self.data[start : start + size] for start in range(0, len(self.data), size)]
