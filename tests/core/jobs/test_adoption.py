"""What the build before left in Redis, written here as it wrote it. It knew no cluster, so there is nothing of it on one."""

import time
from typing import Any

import msgspec
import pytest

from core.jobs import PULL, queue_of
from core.jobs.adoption import LEASES, Adoption
from core.models import events
from core.models.events import Delta, Event, Finished
from core.models.generations import GenerationSpec
from core.models.jobs import JobStatus
from tests.job_backend import BODY, QUEUE, JobBackend, jobs_url

__all__ = ["jobs_url"]

GENERATION = GenerationSpec(
    id="j", user_id="u", model="mine", seed=7, created_at=5, chat_id="c", message_id="a", base_model="m", system="S"
)


@pytest.fixture
def adoption(backend: JobBackend) -> Adoption:
    return Adoption(backend.scripts, backend.claims, backend.queue)


async def left(backend: JobBackend, *, queue: str = "gpu.generate", lapsed: bool = True, body_apart: bool = True, **job: Any) -> None:
    """One job, with a log where it was begun."""
    old = msgspec.to_builtins(GENERATION) | {"queue": queue, "request_id": "r", "body": None if body_apart else msgspec.Raw(BODY)}
    fields: dict[Any, Any] = {
        "queue": queue,
        "spec": msgspec.json.encode(old),
        "state": "queued",
        "epoch": 0,
        "attempts": 0,
        "handed": 0,
        **job,
    }
    await backend.redis.hset("job:j", mapping=fields | ({"body": BODY} if body_apart else {}))
    await backend.redis.zadd(LEASES, {"j": time.time() * 1000 + (-5_000 if lapsed else 60_000)})


async def seen(backend: JobBackend) -> list[tuple[str, Event]]:
    return await backend.log.read("j")


@pytest.mark.parametrize("body_apart", [True, False])
async def test_a_question_that_waited_is_asked_of_the_worker_of_its_model(
    backend: JobBackend, adoption: Adoption, *, body_apart: bool
) -> None:
    await left(backend, body_apart=body_apart)
    assert await adoption.run()
    (message,) = await backend.queue.fetch(QUEUE, "w", 10)
    assert (message.args, message.actor_name) == (("j",), "generate_reply")
    claim = await backend.claims.claim("j", "w")
    assert claim
    assert (claim.epoch, claim.input, claim.spec.owner, claim.spec.request_id) == (1, BODY, "u", "r")
    assert claim.spec.payload_as(GenerationSpec) == GENERATION
    assert await backend.redis.keys("job:j*") == []


async def test_an_answer_that_was_begun_goes_on_after_what_its_log_holds(backend: JobBackend, adoption: Adoption) -> None:
    await left(backend, state="running", epoch=3, worker="gone")
    await backend.redis.xadd("job:j:events", {"e": events.encode(Delta(text="a", tokens=(1,)))}, id="3-1")
    assert await adoption.run()
    claim = await backend.give((await backend.claims.spec("j")), "w")  # type: ignore[arg-type]  # it is there
    await backend.claims.append(claim, 1, (Delta(text="b", tokens=(2,)), Finished()), end=JobStatus.FINISHED)
    assert [(entry_id, getattr(event, "text", "")) for entry_id, event in await seen(backend)] == [("3-1", "a"), ("4-1", "b"), ("4-2", "")]


async def test_one_that_was_stopped_is_stopped_by_whoever_takes_it(backend: JobBackend, adoption: Adoption) -> None:
    await left(backend, state="running", epoch=1, cancel=1)
    assert await adoption.run()
    claim = await backend.claims.claim("j", "w")
    assert claim
    assert claim.cancelled


async def test_a_pull_goes_on_and_a_request_for_vectors_which_is_gone_does_not(backend: JobBackend, adoption: Adoption) -> None:
    await left(backend, queue="gpu.embed")
    assert await adoption.run()
    assert await backend.queue.queues() == []
    await left(backend, queue="cpu.pull")
    assert await adoption.run()
    assert await backend.queue.waiting(queue_of(PULL), 10) == ["j"]


async def test_what_somebody_of_the_build_before_still_has_is_left_to_them(backend: JobBackend, adoption: Adoption) -> None:
    await left(backend, lapsed=False, state="running", epoch=1)
    assert not await adoption.run()
    assert await backend.claims.spec("j") is None
    assert await backend.redis.hget("job:j", "state") == b"running"


async def test_one_whose_adopter_died_in_the_middle_is_queued_once(backend: JobBackend, adoption: Adoption) -> None:
    await left(backend)
    await adoption._take_over("j")
    assert await adoption.run()
    await backend.redis.zadd(LEASES, {"j": 1})
    assert await adoption.run()
    assert await backend.queue.waiting(QUEUE, 10) == ["j"]
