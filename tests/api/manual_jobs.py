"""A worker's side of an answer, made by hand: a test says what is appended, and when."""

from typing import Any

from core.jobs import queue_of
from core.jobs.claims import Claim
from core.models.completions import Usage
from core.models.events import ChoiceFinished, Delta, Event, Failed, Finished, Started
from core.models.generations import GenerationSpec
from core.models.jobs import JobStatus
from core.services import Services
from tests.polling import until
from tests.serving import MODEL
from tests.serving_models import WORKER

REPLIES = queue_of("generate_reply", MODEL.id)
USAGE = Usage(prompt_tokens=3, completion_tokens=4, total_tokens=7)


class ManualJob:
    """One claimed job."""

    def __init__(self, services: Services, claim: Claim, seq: int = 1) -> None:
        self.services = services
        self.claim = claim
        self.spec = claim.spec.payload_as(GenerationSpec)
        self.text = ""
        self._seq = seq

    @classmethod
    async def of(cls, services: Services, generation_id: str) -> "ManualJob":
        """Claim a job, as a worker does, and begin."""
        claim = await services.claims.claim(generation_id, WORKER)
        assert claim
        making = cls(services, claim)
        await making.append(Started(model=making.spec.model, attempt=claim.epoch, worker=WORKER))
        return making

    async def append(self, *entries: Event, end: JobStatus | None = None) -> None:
        await self.services.claims.append(self.claim, self._seq, entries, end=end)
        self._seq += len(entries)
        if end:
            await self.services.queue.fetch(self.claim.spec.queue, WORKER, 0, [self.spec.id])

    async def say(self, *pieces: str, choice: int = 0, extra: dict[str, Any] | None = None) -> None:
        for piece in pieces:
            self.text += piece if choice == 0 else ""
            await self.append(Delta(text=piece, choice=choice, tokens=(1,), extra=extra))

    async def finish(self, *, choices: int = 1, finish_reason: Any = "stop", usage: Usage | None = USAGE) -> None:
        last = Finished(usage=usage)
        await self._save(JobStatus.FINISHED, last)
        ends = [ChoiceFinished(choice=choice, finish_reason=finish_reason) for choice in range(choices)]
        await self.append(*ends, last, end=JobStatus.FINISHED)

    async def fail(self, code: str, detail: str, retry_after: int | None = None) -> None:
        last = Failed(code=code, detail=detail, retry_after=retry_after)
        await self._save(JobStatus.FAILED, last)
        await self.append(last, end=JobStatus.FAILED)

    async def _save(self, status: JobStatus, last: Event) -> None:
        """As an actor does: of a chat's answer only."""
        if self.spec.chat_id:
            await self.services.answers.save(self.spec, self.text, status, last)


async def pop_job(services: Services, queue: str = REPLIES) -> str:
    """The id of the job that is first on a queue, which is in our hands from now on."""
    (message,) = await until(lambda: services.queue.fetch(queue, WORKER, 1), "a job is enqueued")
    return str(message.args[0])


async def claim_next(services: Services) -> ManualJob:
    """Claim the next job."""
    return await ManualJob.of(services, await pop_job(services))
