"""Many files put into a knowledge base by one job."""

from typing import Annotated

import msgspec

from core.models.jobs import JobStatus

MAX_FILES = 2_000
MAX_PATH = 1_024

FilePath = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_PATH)]


class IngestFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file of one's own, and where it is to be in the base: what was at the same ``path`` is found until this one is ready."""

    path: FilePath
    file_id: str


class Ingest(msgspec.Struct, frozen=True, kw_only=True):
    """Files to be put into a base, each path once.

    ``managed``: they were sent for their places here and nothing else: each is deleted once another one has taken its place.
    """

    files: Annotated[tuple[IngestFile, ...], msgspec.Meta(min_length=1, max_length=MAX_FILES)]
    managed: bool = False


class IngestJob(msgspec.Struct, frozen=True, kw_only=True):
    """The record of a job that puts files into a base. Times are Unix seconds.

    ``total``: how many files it has begun, of which so many are ``completed`` or have ``failed``; ``chunks``: how many passages of them can
    be found, of ``pages`` where they have pages. While it runs these four are counted when somebody asks.
    ``waiting``: what is wanting for some of them to go on now.
    """

    id: str
    user_id: str
    knowledge_id: str
    status: JobStatus = JobStatus.IN_PROGRESS
    total: int
    completed: int = 0
    failed: int = 0
    chunks: int = 0
    pages: int = 0
    waiting: str | None = None
    created_at: int
    updated_at: int
    ended_at: int | None = None
