"""Models being brought to this installation: into its data folder, or into an Ollama."""

from enum import StrEnum
from typing import Annotated

import msgspec

from core.models.jobs import JobStatus

MODELS_FOLDER = "models"
MARKER = "pulled.json"  # stands in a folder <data folder>/models/<owner>/<name>/<revision> whose files are all there

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class Origin(StrEnum):
    """Where a model comes from."""

    OLLAMA = "ollama"
    HUGGINGFACE = "huggingface"


class StartPull(msgspec.Struct, frozen=True, kw_only=True):
    """A model to pull: ``owner/name`` of a Hugging Face repository, or Ollama's name for it. ``model`` is another name for ``name``.

    Of a repository with several GGUF files one is fetched: the one whose name holds what follows a colon, as in ``owner/name:Q4_0``.
    Without ``source`` a name with a slash is looked for at Hugging Face first. ``upstream``: which Ollama, by its place among
    PENSTOCK_OLLAMA_BASE_URLS (from 0) or its URL; without it the first. With ``stream`` false the answer waits for the end.
    """

    name: Name | None = None
    model: Name | None = None
    source: Origin | None = None
    upstream: int | str | None = None
    stream: bool = True


class PullTask(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker is told. Without ``source``: a Hugging Face repository, else a model of the Ollama ``upstream``, if there is one."""

    name: str
    source: Origin | None = None
    upstream: str = ""


class Pull(msgspec.Struct, frozen=True, kw_only=True):
    """The record of a pull. Times are Unix seconds. ``step``: what is being done; ``completed`` of ``total`` bytes, as far as known."""

    id: str
    user_id: str
    name: str
    source: Origin | None
    upstream: str
    status: JobStatus
    step: str = ""
    total: int | None = None
    completed: int = 0
    created_at: int
    updated_at: int
    ended_at: int | None = None
    error: str | None = None


class Pulled(msgspec.Struct, frozen=True, kw_only=True):
    """What MARKER holds: the model's ``id``, the ``revision`` that was fetched (a commit), and its files."""

    id: str
    revision: str
    files: tuple[str, ...]
