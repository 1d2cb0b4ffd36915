"""On which queue a job is put back: a begun answer first for workers that compute the same bits, because only there it goes on exactly."""

from collections.abc import Iterable

from core.events import EventLog
from core.jobs import KINDS, Repeat
from core.models.events import ChoiceFinished, Delta, Event, Started
from core.models.generations import GenerationSpec
from core.models.jobs import JobSpec
from core.models.pools import Worker, WorkerState
from core.redis.keys import BEGUN
from core.redis.workers import WorkerRegistry


def begun_queue(queue: str, fingerprint: str) -> str:
    """The queue for answers of a model that were begun with a fingerprint."""
    return f"{queue}{BEGUN}{fingerprint}"


def origin(log: Iterable[tuple[str, Event]]) -> str:
    """The fingerprint of whoever made all that a log's readers have seen; "" where that is nothing, not known, or of more than one."""
    fingerprint, found = "", set()
    for _, event in log:
        if isinstance(event, Started):
            fingerprint = event.fingerprint
        elif isinstance(event, ChoiceFinished) or (isinstance(event, Delta) and (event.text or event.tokens)):
            found.add(fingerprint)
    return found.pop() if len(found) == 1 else ""


class Placement:
    """Where all workers of a model are alike, or nobody computes the same bits, it is the queue that the job was submitted to."""

    def __init__(self, events: EventLog, workers: WorkerRegistry) -> None:
        self._events = events
        self._workers = workers

    async def of(self, spec: JobSpec, *, but: str = "") -> str:
        """The queue; ``but``: the id of a worker that leaves."""
        if KINDS[spec.kind].repeat is not Repeat.RESUME or not KINDS[spec.kind].by_model:
            return spec.queue
        model = spec.payload_as(GenerationSpec).served
        serving = [worker for worker in await self._workers.list() if spec.queue in worker.queues and _takes(worker, but)]
        fingerprints = {found.fingerprint for worker in serving if (found := worker.numerics.get(model)) and found.continued == "exact"}
        if len(fingerprints) < 2 and all(model in worker.numerics for worker in serving):  # noqa: PLR2004 - alike
            return spec.queue
        fingerprint = origin(await self._events.read(spec.id))
        return begun_queue(spec.queue, fingerprint) if fingerprint and fingerprint in fingerprints else spec.queue


def _takes(worker: Worker, but: str) -> bool:
    return worker.id != but and worker.state is WorkerState.READY
