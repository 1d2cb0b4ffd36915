"""Knowledge bases: files whose passages can be found, and who may look for them."""

from enum import StrEnum
from typing import Annotated, Any

import msgspec

PUBLIC = "*"
PATH_KEY = "path:"
MAX_NAMED = 10_000

KnowledgeName = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class FileState(StrEnum):
    """How far a file is on its way into a base."""

    QUEUED = "queued"
    PARSING = "parsing"
    EMBEDDING = "embedding"
    READY = "ready"
    FAILED = "failed"

    @property
    def ended(self) -> bool:
        """Whether nothing is being done about it."""
        return self in {FileState.READY, FileState.FAILED}


class AccessList(msgspec.Struct, frozen=True, kw_only=True):
    """Who has a right. There are no groups yet: what is named is kept."""

    group_ids: Annotated[tuple[str, ...], msgspec.Meta(max_length=MAX_NAMED)] = ()
    user_ids: Annotated[tuple[str, ...], msgspec.Meta(max_length=MAX_NAMED)] = ()


class AccessControl(msgspec.Struct, frozen=True, kw_only=True):
    """Who has which right beside the owner; who may write may read. As Open WebUI has it: empty is private, null is public to read."""

    read: AccessList = AccessList()
    write: AccessList = AccessList()


class Chunking(msgspec.Struct, frozen=True, kw_only=True):
    """How documents are cut, in tokens of the embedding model; what the model cannot take at once is cut shorter."""

    max_tokens: Annotated[int, msgspec.Meta(ge=16, le=8192)] = 256
    overlap_tokens: Annotated[int, msgspec.Meta(ge=0, le=4096)] = 32


class KnowledgeBase(msgspec.Struct, frozen=True, kw_only=True):
    """A base. Times are Unix seconds.

    ``embedding_model``: whose vectors are searched, empty until the first file is there; ``dimensions``: their length, 0 until then;
    ``next_model``: whose vectors are being made to take their place. ``version``: another one whenever what can be found has changed.
    """

    id: str
    user_id: str
    name: str
    description: str
    access_control: AccessControl | None = AccessControl()
    chunking: Chunking = Chunking()
    meta: dict[str, Any] = {}
    embedding_model: str = ""
    dimensions: int = 0
    next_model: str = ""
    version: str = ""
    created_at: int
    updated_at: int


class CreateKnowledge(msgspec.Struct, frozen=True, kw_only=True):
    """A new base. ``access_control``: private where it is left out, public to read where it is null."""

    name: KnowledgeName
    description: str = ""
    access_control: AccessControl | None = AccessControl()
    chunking: Chunking = Chunking()
    meta: dict[str, Any] = {}


class UpdateKnowledge(msgspec.Struct, frozen=True, kw_only=True):
    """Changes of a base; what is left out stays. ``chunking``: of files that are added or indexed anew from now on."""

    name: KnowledgeName | msgspec.UnsetType = msgspec.UNSET
    description: str | msgspec.UnsetType = msgspec.UNSET
    access_control: AccessControl | msgspec.UnsetType | None = msgspec.UNSET
    chunking: Chunking | msgspec.UnsetType = msgspec.UNSET
    meta: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET


class KnowledgeFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file's place in a base. Times are Unix seconds.

    ``key``: one a base; what is put in the place of an older file has the same. ``replaced_file_id``: that older file. ``revision``: rises
    whenever it is to be indexed anew. ``generations``: by embedding model, the revision that can be found; ``chunks``: how many that are,
    of ``pages`` where the file has pages. ``spaces``: by embedding model, how long the vectors are that may have been written.
    ``cleaned``: the vector store holds nothing else of it. ``removed``: nothing of it can be found any more, and it is about to go.
    ``job_id``: the job that puts this revision in with others, of which it is the ``item``; None where it has one of its own.
    ``waiting``: what is wanting for it to go on now.
    ``managed``: the file was sent for this place alone. ``obsolete``: such files that stood here, to be deleted once this one is ready.
    """

    id: str
    knowledge_id: str
    key: str
    file_id: str
    replaced_file_id: str | None = None
    filename: str
    content_type: str
    size: int
    hash: str
    user_id: str
    metadata: dict[str, Any] = {}
    state: FileState = FileState.QUEUED
    waiting: str | None = None
    error: str | None = None
    revision: int = 1
    generations: dict[str, int] = {}
    spaces: dict[str, int] = {}
    cleaned: bool = True
    chunks: int = 0
    pages: int | None = None
    removed: bool = False
    job_id: str | None = None
    item: int = 0
    managed: bool = False
    obsolete: tuple[str, ...] = ()
    created_at: int
    updated_at: int

    @property
    def path(self) -> str | None:
        """Where it was put; None for a file that was only added."""
        return self.key.removeprefix(PATH_KEY) if self.key.startswith(PATH_KEY) else None


class IndexFile(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker is to index; its job's payload. ``revision``: where there is a newer one, that has a job of its own."""

    entry_id: str
    revision: int
