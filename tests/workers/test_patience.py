"""A store that is away while a job is done: who nobody waits for waits for it."""

import pytest

from core.errors import PenstockError, Unavailable
from core.jobs import queue_of
from core.models.events import Event, Failed, Finished
from core.models.jobs import JobSpec, JobStatus
from tests.job_backend import JobBackend
from tests.worker_parts import WorkerParts
from workers import attempt
from workers.attempt import Attempt

AWAY = "The store is away."


class Storing:
    """The actor of a job that needs a store; ``errors``: what each try raises."""

    keeps = False

    def __init__(self, *errors: PenstockError) -> None:
        self.errors = list(errors)
        self.tries = 0

    def __call__(self, attempt: Attempt) -> "Storing":
        del attempt
        return self

    async def do(self) -> Finished:
        self.tries += 1
        if self.errors:
            raise self.errors.pop(0)
        return Finished()

    async def keep(self, status: JobStatus, last: Event) -> None: ...


async def done(backend: JobBackend, kind: str, actor: Storing) -> Event:
    """How a job of the kind ends."""
    worker = WorkerParts(
        "one", claims=backend.claims, queue=backend.queue, events=backend.log, workers=backend.workers, actors={kind: actor}
    )
    spec = JobSpec(id="1", kind=kind, queue=queue_of(kind), owner="u", created_at=1)
    await backend.queue.submit(spec)
    await worker.start(takes=False)
    await worker.attempts.make(spec.id, spec.queue)
    await worker.die()
    return (await backend.log.read(spec.id))[-1][1]


async def test_a_patient_job_is_done_again_until_the_store_is_there(backend: JobBackend) -> None:
    actor = Storing(Unavailable(AWAY), Unavailable(AWAY))
    assert await done(backend, "parse_file", actor) == Finished()
    assert actor.tries == 3


@pytest.mark.parametrize(
    ("kind", "patience_s"),
    [("search_web", 900), ("parse_file", 0)],
    ids=["somebody waits for it", "for so long"],
)
async def test_others_end_with_what_was_away(backend: JobBackend, monkeypatch: pytest.MonkeyPatch, kind: str, patience_s: float) -> None:
    monkeypatch.setattr(attempt, "PATIENCE_S", patience_s)
    assert await done(backend, kind, Storing(Unavailable(AWAY))) == Failed.of(Unavailable(AWAY))
