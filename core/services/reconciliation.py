"""Records of what is in progress, compared with what Redis knows: what has ended unnoticed is ended in its record, with the reason.

That is so where Redis was emptied, where a job was forgotten unfinished, where a backup of the store was put back, and where a job was
ended while no worker had it.
"""

import time

from core.events import EventLog
from core.jobs.claims import Claims
from core.models.events import ENDS, Cancelled, Event, Failed, Finished, first_choice
from core.models.files import FileStatus
from core.models.generations import GenerationSpec
from core.models.jobs import JobStatus
from core.services.answers import Answers
from core.services.files.processing import Processing, job_id_of
from core.services.tools import describe_calls
from core.storage.files import Files
from core.storage.generations import Generations
from core.storage.pulls import Pulls

YOUNG_S = 30  # longer than a submission waits for a Redis that is away
AT_ONCE = 500
LOST = Failed(
    code="unavailable", detail="Redis has lost this job, or it was never ended. What had arrived by then was not kept; ask again."
)
_STATUS = {Finished: JobStatus.FINISHED, Failed: JobStatus.FAILED, Cancelled: JobStatus.CANCELLED}


class Reconciliation:
    """One duty for all kinds that have records. Several at once do no harm: who ends a record first is right."""

    def __init__(  # noqa: PLR0913 - each by its name, where services are wired
        self,
        *,
        generations: Generations,
        pulls: Pulls,
        files: Files,
        processing: Processing,
        answers: Answers,
        claims: Claims,
        events: EventLog,
    ) -> None:
        self._files = files
        self._processing = processing
        self._generations = generations
        self._pulls = pulls
        self._answers = answers
        self._claims = claims
        self._events = events

    async def run(self) -> list[str]:
        """Compare once; the ids of what was ended."""
        now, ended = int(time.time()), []
        for generation in await self._generations.unfinished(now, AT_ONCE):
            last, log = await self._end_of(generation.id, now - generation.created_at)
            if last:
                spec, status = GenerationSpec.of(generation), _STATUS[type(last)]
                await self._answers.save(spec, first_choice(log), status, last, describe_calls(log))
                ended.append(generation.id)
        for pull in await self._pulls.unfinished(now, AT_ONCE):
            last, _ = await self._end_of(pull.id, now - pull.created_at)
            if last:
                await self._pulls.finish(pull.id, _STATUS[type(last)], error=last.detail if isinstance(last, Failed) else None)
                ended.append(pull.id)
        return ended + await self._run_files(now)

    async def _run_files(self, now: int) -> list[str]:
        """What nobody has read: where its job is lost, it is begun again."""
        ended = []
        for file in await self._files.pending(AT_ONCE):
            last, _ = await self._end_of(job_id_of(file), now - file.created_at)
            if last is LOST:
                await self._processing.submit(file)
            elif isinstance(last, Failed):
                await self._files.set_status(file.id, FileStatus.FAILED, now, error=last.detail)
                ended.append(file.id)
        return ended

    async def _end_of(self, job_id: str, age_s: int) -> tuple[Event | None, list[Event]]:
        """How a job has ended, and what its readers were told; None where it has not, or is perhaps not submitted yet."""
        state = await self._claims.state(job_id)
        if state in {"queued", "running"} or (state is None and age_s < YOUNG_S):
            return None, []
        log = [event for _, event in await self._events.read(job_id)]
        return (log[-1] if log and isinstance(log[-1], ENDS) else LOST), log
