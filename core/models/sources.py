"""What an answer stands on: what is to be looked through for it, and the passages that were found there."""

from enum import StrEnum
from typing import Annotated

import msgspec

MAX_FILES = 50
MAX_BASES = 50


class SourceKind(StrEnum):
    """What a client attaches to a question: a file of its own, or a knowledge base. In Open WebUI's words."""

    FILE = "file"
    COLLECTION = "collection"


class Attachment(msgspec.Struct, frozen=True, kw_only=True):
    """A file or a knowledge base by its id. What else a client says of it is not read."""

    type: SourceKind
    id: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class Attached(msgspec.Struct, frozen=True, kw_only=True):
    """The same with its name, as a message holds it."""

    type: SourceKind
    id: str
    name: str


class LookThrough(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a worker is to look through for an answer: ids that its asker may read, each once."""

    knowledge_ids: tuple[str, ...] = ()
    file_ids: tuple[str, ...] = ()


class Source(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A passage that the model was given. ``number``: what the model calls it, from 1.

    ``knowledge_id``: the base that it was found in, if it was one. ``pages``: from 1, where the file has pages. ``score``: 0 to 1, higher
    is better: of a base's passage as retrieval gives it, of an attached file's how well its words fit the question's.
    """

    number: int
    file_id: str
    filename: str
    knowledge_id: str | None = None
    pages: tuple[int, ...] = ()
    passage: str
    score: float
