"""A worker's side of an answer, made by hand: a test says what is appended, and when."""

from typing import Any

from core.jobs.claims import Claim
from core.models.completions import Usage
from core.models.events import ChoiceFinished, Delta, Event, Failed, Finished, Started
from core.models.generations import JobStatus
from core.services import Services
from tests.polling import until


class ManualJob:
    """One claimed job."""

    def __init__(self, services: Services, claim: Claim, seq: int = 1) -> None:
        self.services = services
        self.claim = claim
        self.text = ""
        self._seq = seq

    @classmethod
    async def of(cls, services: Services, generation_id: str) -> "ManualJob":
        """Claim a job, as a worker does, and begin."""
        claim = await services.claims.claim(generation_id, "by-hand")
        assert claim
        making = cls(services, claim)
        await making.append(Started(model=claim.spec.model, attempt=claim.epoch, worker="by-hand"))
        return making

    async def append(self, *entries: Event, end: JobStatus | None = None) -> None:
        await self.services.claims.append(self.claim, self._seq, entries, end=end)
        self._seq += len(entries)

    async def say(self, *pieces: str, choice: int = 0, extra: dict[str, Any] | None = None) -> None:
        for piece in pieces:
            self.text += piece if choice == 0 else ""
            await self.append(Delta(text=piece, choice=choice, tokens=(1,), extra=extra))

    async def finish(self, *, choices: int = 1, finish_reason: Any = "stop") -> None:
        usage = Usage(prompt_tokens=3, completion_tokens=4, total_tokens=7)
        last = Finished(usage=usage)
        await self.services.answers.save(self.claim.spec, self.text, JobStatus.FINISHED, last)
        ends = [ChoiceFinished(choice=choice, finish_reason=finish_reason) for choice in range(choices)]
        await self.append(*ends, last, end=JobStatus.FINISHED)

    async def fail(self, code: str, detail: str, retry_after: int | None = None) -> None:
        last = Failed(code=code, detail=detail, retry_after=retry_after)
        await self.services.answers.save(self.claim.spec, self.text, JobStatus.FAILED, last)
        await self.append(last, end=JobStatus.FAILED)


async def pop_job(services: Services) -> str:
    """The id of the job that waits on the GPU queue, taken from it."""

    async def taken() -> str | None:
        found = await services.queue._broker.command("LPOP", "dramatiq:gpu.generate")
        return found.decode() if found else None

    return await until(taken, "a job is enqueued")


async def claim_next(services: Services) -> ManualJob:
    """Claim the next job."""
    return await ManualJob.of(services, await pop_job(services))
