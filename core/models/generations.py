"""A generation: one answer (or several choices of one) being made by a worker."""

from typing import Self

import msgspec

from core.models.completions import Usage
from core.models.jobs import JobStatus
from core.models.sources import LookThrough
from core.models.tools import Tool


class GenerationSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a worker needs to know of a generation, and whoever listens to it; its job's payload.

    The job's input is the OpenAI request as JSON.

    For a chat's answer ``chat_id`` and ``message_id`` name the empty assistant message to fill, and the messages of the
    request mean nothing: the worker builds them from the chat. ``seed`` is always set: the client's, else drawn when
    the job was made, so that any worker continues with the same one.

    Where ``model`` is a custom one, ``base_model`` names the served one behind it, and ``system`` is its system prompt.
    ``look_through``: where passages for the answer are to be found, if it is to stand on any.

    ``tools``: what the model may call; ``prompted``: it is told of them in words, because it knows none or was not to be asked so.
    """

    id: str
    user_id: str
    model: str
    seed: int
    created_at: int
    chat_id: str | None = None
    message_id: str | None = None
    base_model: str = ""
    system: str = ""
    look_through: LookThrough | None = None
    tools: tuple[Tool, ...] = ()
    prompted: bool = False

    @property
    def served(self) -> str:
        """The model that a worker is asked for."""
        return self.base_model or self.model

    @classmethod
    def of(cls, row: "Generation") -> Self:
        """What the record of a chat's generation still tells of it."""
        return cls(
            id=row.id,
            user_id=row.user_id,
            model=row.model,
            seed=0,
            created_at=row.created_at,
            chat_id=row.chat_id,
            message_id=row.message_id,
        )


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
