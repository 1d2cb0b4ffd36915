"""Jobs: what workers do."""

from enum import StrEnum
from typing import TypeVar

import msgspec

T = TypeVar("T")


class JobStatus(StrEnum):
    """A job ends for one of three reasons that are never mixed up: it finished or failed, or its user cancelled it.

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


class JobSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One job, whatever its kind; kept in Redis beside its claim. ``payload``: what its kind needs to know, small.

    ``kind``: a row of core.jobs.KINDS. ``owner``: the id of the user on whose behalf it runs. ``parent``: the job that it is a part of.
    ``priority``: above 0 it goes ahead of what waits. ``deadline``: Unix seconds; whoever takes it later lets it fail. ``request_id`` links
    the worker's log line to the request's. What is large, such as the body of a request, is the job's input and travels beside the spec.
    """

    id: str
    kind: str
    queue: str
    owner: str
    created_at: int
    payload: msgspec.Raw = msgspec.Raw(b"{}")
    parent: str | None = None
    priority: int = 0
    deadline: int | None = None
    request_id: str = ""

    def payload_as(self, kind: type[T]) -> T:
        """The payload as its kind's own record."""
        return msgspec.json.decode(self.payload, type=kind)
