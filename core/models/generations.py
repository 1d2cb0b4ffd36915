"""A generation: one answer (or several choices of one) being made by a worker."""

from enum import StrEnum

import msgspec

from core.models.completions import Usage


class JobStatus(StrEnum):
    """A generation ends for one of three reasons that are never mixed up: it finished or failed, or its user cancelled it.

    Until then it is in progress: whether a worker has it already, or has it again, is for its claim to say.
    """

    IN_PROGRESS = "in_progress"
    FINISHED = "finished"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """Whether nothing more will come."""
        return self in {JobStatus.FINISHED, JobStatus.FAILED, JobStatus.CANCELLED}


class JobSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker needs to make the answer; kept in Redis beside the claim. ``body`` is the OpenAI request as JSON.

    For a chat's answer ``chat_id`` and ``message_id`` name the empty assistant message to fill, and the messages in
    ``body`` mean nothing: the worker builds them from the chat. ``seed`` is always set: the client's, else drawn when
    the job was made, so that any worker continues with the same one. ``request_id`` links the worker's log line to
    the request's.

    Where ``model`` is a custom one, ``base_model`` names the served one behind it, and ``system`` is its system prompt.
    """

    id: str
    user_id: str
    model: str
    queue: str
    seed: int
    created_at: int
    body: msgspec.Raw
    request_id: str = ""
    chat_id: str | None = None
    message_id: str | None = None
    base_model: str = ""
    system: str = ""

    @property
    def served(self) -> str:
        """The model that a worker is asked for."""
        return self.base_model or self.model


class Generation(msgspec.Struct, frozen=True, kw_only=True):
    """The record of a chat's generation (those of plain completions live in Redis only, for an hour). Times are Unix seconds."""

    id: str
    user_id: str
    chat_id: str
    message_id: str
    model: str
    status: JobStatus
    created_at: int
    ended_at: int | None = None
    usage: Usage | None = None
    error: str | None = None
