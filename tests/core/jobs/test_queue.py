import json
from collections.abc import Callable
from contextlib import closing

import pytest
import redis
from dramatiq.brokers.redis import RedisBroker

from core.jobs import KINDS, queue_of, queues_of
from core.jobs.ownership import cancel_user
from core.models.events import Cancelled, Waiting
from core.models.jobs import JobSpec
from core.redis.keys import SUSPECTS, base_queue, in_hand_key, messages_key, namespace
from tests.job_backend import BODY, QUEUE, JobBackend, new_reply

Specs = Callable[[], JobSpec]


async def test_a_message_carries_the_job_id_and_nothing_else(backend: JobBackend, new_spec: Specs) -> None:
    spec = new_spec()
    await backend.queue.submit(spec, BODY)
    stored = json.loads((await backend.redis.hvals(messages_key(QUEUE)))[0])
    assert (stored["actor_name"], stored["queue_name"], stored["args"], stored["kwargs"]) == ("generate_reply", QUEUE, [spec.id], {})


async def test_a_plain_dramatiq_broker_reads_and_consumes_the_queue(backend: JobBackend, new_spec: Specs, jobs_url: str) -> None:
    spec = new_spec()
    await backend.queue.submit(spec, BODY)
    with closing(redis.RedisCluster.from_url(jobs_url) if backend.client.nodes.owners else redis.Redis.from_url(jobs_url)) as client:
        broker = RedisBroker(client=client, namespace=namespace(QUEUE))
        assert broker.do_qsize(QUEUE) == 1
        message = next(broker.consume(QUEUE, timeout=10))
        assert message is not None
        assert (message.actor_name, message.args) == ("generate_reply", (spec.id,))


async def test_submitting_twice_because_an_answer_was_lost_changes_nothing(backend: JobBackend, new_spec: Specs) -> None:
    spec = new_spec()
    claim = await backend.given(spec, "one")
    await backend.queue.submit(spec, BODY)
    assert await backend.queue.waiting(QUEUE, 9) == []
    assert await backend.claims.hand_back(claim)


async def test_what_is_told_at_submission_is_the_logs_first_entry(backend: JobBackend, new_spec: Specs) -> None:
    spec, notice = new_spec(), Waiting(detail="for a worker")
    await backend.queue.submit(spec, BODY, notice=notice)
    assert await backend.log.read(spec.id) == [("0-1", notice)]


async def test_a_job_with_a_priority_goes_ahead_of_what_waits(backend: JobBackend, new_spec: Specs) -> None:
    plain, urgent = new_spec(), new_reply()
    await backend.queue.submit(plain)
    await backend.queue.submit(JobSpec(id=urgent.id, kind=urgent.kind, queue=QUEUE, owner="u", created_at=1, priority=1))
    assert await backend.queue.waiting(QUEUE, 9) == [urgent.id, plain.id]


async def test_a_dead_workers_job_goes_ahead_of_what_waits_and_its_ended_ones_are_forgotten(backend: JobBackend, new_spec: Specs) -> None:
    lost, waiting, stopped = new_spec(), new_spec(), new_spec()
    await backend.given(lost, "one")
    await backend.queue.submit(stopped)
    await backend.queue.fetch(QUEUE, "one", 1)
    await backend.claims.cancel(stopped.id)
    await backend.queue.submit(waiting)
    assert await backend.bury("one") == [lost.id]
    assert await backend.queue.waiting(QUEUE, 9) == [lost.id, waiting.id]
    assert await backend.queue.unfinished(QUEUE) == sorted([lost.id, waiting.id])
    assert not await backend.redis.exists(in_hand_key(QUEUE, "one"))


async def test_what_a_worker_fetched_and_never_claimed_comes_back_and_counts_as_no_death(backend: JobBackend, new_spec: Specs) -> None:
    spec = new_spec()
    await backend.queue.submit(spec, BODY)
    await backend.queue.fetch(QUEUE, "one", 1)
    assert await backend.bury("one") == []
    claim = await backend.give(spec, "two")
    assert claim.deaths == 0


async def test_a_live_workers_jobs_are_left_to_it_by_every_reaper(backend: JobBackend, new_spec: Specs) -> None:
    spec = new_spec()
    await backend.given(spec, "one")
    await backend.live("one")
    assert await backend.reaper.reap() == []
    assert await backend.queue.in_hand(QUEUE, "one") == {spec.id}


async def test_a_message_that_was_put_back_onto_another_queue_is_one_message(backend: JobBackend, new_spec: Specs) -> None:
    spec = new_spec()
    await backend.given(spec, "one")
    for _ in range(2):
        await backend.queue.put_back(spec, QUEUE, onto=QUEUE + SUSPECTS, worker_id="one")
    assert await backend.queue.lengths([QUEUE, QUEUE + SUSPECTS]) == [0, 1]
    assert await backend.queue.unfinished(QUEUE) == []
    await backend.queue.move(spec, QUEUE + SUSPECTS, QUEUE)
    assert await backend.queue.lengths([QUEUE, QUEUE + SUSPECTS]) == [1, 0]
    assert await backend.queue.unfinished(QUEUE + SUSPECTS) == []


async def test_a_users_jobs_are_stopped_wherever_they_are(backend: JobBackend, new_spec: Specs) -> None:
    running, waiting = new_spec(), new_spec()
    others = JobSpec(id="theirs", kind="generate_reply", queue=QUEUE, owner="somebody else", created_at=1)
    await backend.given(running, "one")
    for spec in (waiting, others):
        await backend.queue.submit(spec)
    await cancel_user(backend.claims, backend.queue, "u")
    assert [event for _, event in await backend.log.read(waiting.id)] == [Cancelled()]
    assert await backend.claims.cancel(others.id) == "queued"
    assert await backend.redis.hget(f"job:{{{running.id}}}", "cancel") == b"1"


async def test_waiting_jobs_cost_redis_nothing(backend: JobBackend, new_spec: Specs) -> None:
    for _ in range(200):
        await backend.queue.submit(new_spec(), BODY)
    before = await written(backend)
    for _ in range(5):
        await backend.reaper.reap()
    assert await written(backend) == before


async def written(backend: JobBackend) -> int:
    """The size of all append-only files."""
    return sum([(await node.info("persistence"))["aof_current_size"] for node in await backend.nodes()])


@pytest.mark.parametrize("model", ["qwen", "owner/name:Q4_0", "näme 1.5", "owner_name_Q4_0"])
def test_every_model_has_a_queue_whose_name_dramatiq_takes(model: str) -> None:
    for kind in KINDS:
        for queue in queues_of(kind, (model,)):
            RedisBroker(client=redis.Redis()).declare_queue(queue)
            assert base_queue(queue) == queue
    assert len({queue_of("generate_reply", name) for name in (model, "owner/name:Q4.0", "other")}) == 3
