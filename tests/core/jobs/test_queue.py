import json
from collections.abc import Callable

from core.jobs import GenerateReply
from core.models.generations import JobSpec
from core.redis.client import Redis
from tests.job_backend import JobBackend
from tests.polling import until

Specs = Callable[[], JobSpec]
QUEUE = "dramatiq:gpu.generate"


async def messages(broker: Redis) -> list[str]:
    """Job ids in the queue's order."""
    ids = await broker.lrange(QUEUE, 0, -1)
    return [json.loads(await broker.hget(f"{QUEUE}.msgs", message_id) or b"")["args"][0] for message_id in ids]


async def test_a_message_carries_the_job_id_and_nothing_else(backend: JobBackend) -> None:
    await backend.queue.enqueue(GenerateReply(id="a"))
    stored = json.loads((await backend.broker.hvals(f"{QUEUE}.msgs"))[0])
    assert (stored["actor_name"], stored["queue_name"], stored["args"], stored["kwargs"]) == ("generate_reply", "gpu.generate", ["a"], {})


async def test_a_job_taken_over_goes_ahead_of_what_waits(backend: JobBackend) -> None:
    for name in ("a", "b"):
        await backend.queue.enqueue(GenerateReply(id=name))
    await backend.queue.enqueue_again(GenerateReply(id="dead worker's"))
    assert await messages(backend.broker) == ["dead worker's", "a", "b"]


async def test_a_job_whose_enqueuer_died_before_enqueueing_is_enqueued_by_the_reaper(backend: JobBackend, new_spec: Specs) -> None:
    spec = new_spec()
    await backend.claims.submit(spec)
    await backend.redis.zadd("leases", {spec.id: 1})
    assert await backend.queue.reap() == []
    assert await messages(backend.broker) == [spec.id]


async def test_a_job_that_waits_its_turn_is_not_enqueued_twice(backend: JobBackend, new_spec: Specs) -> None:
    spec = new_spec()
    await backend.claims.submit(spec)
    await backend.queue.enqueue(GenerateReply(id=spec.id))
    await backend.redis.zadd("leases", {spec.id: 1})
    await backend.queue.reap()
    assert await messages(backend.broker) == [spec.id]


async def test_only_one_of_many_reapers_takes_a_job(backend: JobBackend, new_spec: Specs) -> None:
    spec = new_spec()
    await backend.claims.submit(spec)
    assert await backend.claims.claim(spec.id, "one")
    assert await until(backend.queue.reap, "the lease runs out") == [spec.id]
    assert await backend.queue.reap() == []
    assert await messages(backend.broker) == [spec.id]
