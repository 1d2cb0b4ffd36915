"""Jobs that no live worker can take."""

import pytest

from core.jobs import queue_of
from core.jobs import unserved as module
from core.jobs.placement import begun_queue
from core.jobs.unserved import Unserved
from core.models.events import Failed
from core.redis.keys import SUSPECTS
from tests.job_backend import BODY, QUEUE, JobBackend, new_reply


def looking(backend: JobBackend, wait_s: float) -> Unserved:
    return Unserved(claims=backend.claims, queue=backend.queue, workers=backend.workers, wait_s=wait_s)


async def test_a_job_whose_model_nobody_serves_waits_and_then_fails_with_what_is_wanting(backend: JobBackend) -> None:
    lost, served = new_reply(model="lost"), new_reply()
    for spec in (lost, served):
        await backend.queue.submit(spec, BODY)
    await backend.live("one")
    patient, strict = looking(backend, 60), looking(backend, 0)
    assert await patient.look() == []
    assert await strict.look() == [lost.id]
    ((_, event),) = await backend.log.read(lost.id)
    assert isinstance(event, Failed)
    assert (event.code, event.retry_after) == ("unavailable", 5)
    assert "No live gpu worker serves the model 'lost' now" in event.detail
    assert "penstock worker gpu" in event.detail
    assert await backend.queue.lengths([lost.queue, served.queue]) == [0, 1]
    assert await backend.claims.state(served.id) == "queued"


async def test_the_wait_begins_anew_when_a_worker_was_there(backend: JobBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr("core.jobs.unserved.time.monotonic", lambda: clock[0])
    spec, unserved = new_reply(), looking(backend, 10)
    await backend.queue.submit(spec, BODY)
    await unserved.look()
    clock[0] = 9
    await backend.live("one")
    await unserved.look()
    await backend.workers.forget("one")
    clock[0] = 18
    assert await unserved.look() == []
    clock[0] = 29
    assert await unserved.look() == [spec.id]


@pytest.mark.parametrize(("queue", "lengths"), [(QUEUE + SUSPECTS, [0, 1]), (begun_queue(QUEUE, "f1"), [1, 0])])
async def test_a_begun_answer_is_for_all_where_those_of_its_kind_are_gone_and_a_suspect_stays_one(
    backend: JobBackend, queue: str, lengths: list[int]
) -> None:
    spec = new_reply()
    await backend.given(spec, "one")
    await backend.queue.put_back(spec, QUEUE, onto=queue, worker_id="one")
    await looking(backend, 60).look()
    assert await backend.queue.lengths([QUEUE, queue]) == lengths


async def test_a_begun_answer_is_for_all_where_those_of_its_kind_are_full(backend: JobBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    queue, spec, unserved = begun_queue(QUEUE, "f1"), new_reply(), looking(backend, 60)
    await backend.given(spec, "one")
    await backend.queue.put_back(spec, QUEUE, onto=queue, worker_id="one")
    await backend.live("full", queues=(QUEUE, queue))
    for _ in range(2):
        await unserved.look()
    assert await backend.queue.lengths([QUEUE, queue]) == [0, 1]
    monkeypatch.setattr(module, "PREFERENCE_S", 0.0)
    await unserved.look()
    assert await backend.queue.lengths([QUEUE, queue]) == [1, 0]


async def test_a_worker_that_takes_nothing_more_serves_nothing(backend: JobBackend) -> None:
    spec = new_reply("embed_texts", "m")
    await backend.queue.submit(spec, BODY)
    await backend.live("one", queues=(queue_of("embed_texts", "m"),))
    assert await looking(backend, 0).look() == []
    await backend.workers.drain("one")
    assert (await backend.workers.beat("one", 60_000)).draining
