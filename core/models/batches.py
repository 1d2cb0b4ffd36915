"""Batches: one job of many items, each of which goes through the same steps."""

from typing import Self

import msgspec


class BatchStep(msgspec.Struct, frozen=True, kw_only=True):
    """What is done with each item: a job of this ``kind``, which is tried so many times in all before the item counts as failed."""

    kind: str
    queue: str
    attempts: int = 1


class BatchJob(msgspec.Struct, frozen=True, kw_only=True):
    """Which job of a batch one is, as its id says. ``number``, ``step`` and ``attempt`` count from 1."""

    batch: str
    number: int
    step: int
    attempt: int

    @classmethod
    def of(cls, job_id: str) -> Self:
        """Of a job's id. Raises ValueError for one that is of no batch."""
        batch, number, step, attempt = job_id.split(".")
        return cls(batch=batch, number=int(number), step=int(step), attempt=int(attempt))

    @property
    def id(self) -> str:
        """The job's."""
        return f"{self.batch}.{self.number}.{self.step}.{self.attempt}"

    @property
    def item(self) -> str:
        """An id that all steps and attempts of an item share: what one step keeps for the next, it keeps under this."""
        return f"{self.batch}.{self.number}"


class BatchStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How far a batch is. ``in_flight``: by each item's number that is at work, the id of the job that it is with."""

    total: int
    begun: int
    completed: int
    failed: int
    in_flight: dict[int, str]
