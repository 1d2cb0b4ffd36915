from collections.abc import Callable

import msgspec
import pytest

from core.jobs.claims import Fenced, Held
from core.models.events import Cancelled, Delta, Event, Failed, Finished, Step, ToolResult
from core.models.generations import GenerationSpec
from core.models.jobs import JobSpec, JobStatus
from core.redis.keys import events_key, job_key
from tests.job_backend import BODY, QUEUE, JobBackend, new_reply

Specs = Callable[[], JobSpec]
DONE = msgspec.Raw(b"1")


async def texts(backend: JobBackend, job_id: str) -> list[str]:
    return [event.text for _, event in await backend.log.read(job_id) if isinstance(event, Delta)]


async def test_a_submitted_job_is_claimed_with_its_spec_and_what_was_asked(backend: JobBackend, new_spec: Specs) -> None:
    spec = new_spec()
    claim = await backend.given(spec, "one")
    assert (claim.epoch, claim.deaths, claim.cancelled, claim.prompt) == (1, 0, False, b"")
    assert (claim.spec, claim.input) == (spec, BODY)
    assert claim.spec.payload_as(GenerationSpec).served == "m"


async def test_a_held_job_is_refused_to_a_second_worker(backend: JobBackend, new_spec: Specs) -> None:
    spec = new_spec()
    await backend.given(spec, "one")
    assert await backend.claims.claim(spec.id, "two") is None


async def test_an_unknown_job_is_refused(backend: JobBackend) -> None:
    assert await backend.claims.claim("nothing", "one") is None


async def test_an_ended_job_is_refused(backend: JobBackend, new_spec: Specs) -> None:
    spec = new_spec()
    claim = await backend.given(spec, "one")
    await backend.claims.append(claim, 1, [Finished()], end=JobStatus.FINISHED)
    assert await backend.claims.claim(spec.id, "two") is None


async def test_a_stale_writer_is_fenced_and_nothing_of_it_is_kept(backend: JobBackend, new_spec: Specs) -> None:
    spec = new_spec()
    stale = await backend.given(spec, "one")
    await backend.claims.append(stale, 1, [Delta(text="a")])
    assert await backend.bury("one") == [spec.id]
    fresh = await backend.give(spec, "two")
    with pytest.raises(Fenced):
        await backend.claims.append(stale, 2, [Delta(text="stale")])
    await backend.claims.append(fresh, 1, [Delta(text="b")])
    with pytest.raises(Fenced):
        await backend.claims.append(stale, 3, [Delta(text="stale")])
    assert await texts(backend, spec.id) == ["a", "b"]


async def test_one_that_was_only_slow_goes_on_at_its_own_epoch_where_nobody_took_its_job(backend: JobBackend, new_spec: Specs) -> None:
    spec = new_spec()
    claim = await backend.given(spec, "one")
    await backend.live("one", lasts_ms=0)
    assert not (await backend.workers.beat("one", 60_000)).in_time
    assert (await backend.workers.beat("one", 60_000)).in_time
    assert await backend.reaper.reap() == []
    assert await backend.claims.append(claim, 1, [Delta(text="a")]) == 1


async def test_an_append_whose_answer_was_lost_may_be_repeated(backend: JobBackend, new_spec: Specs) -> None:
    spec = new_spec()
    claim = await backend.given(spec, "one")
    entries = [Delta(text="a"), Delta(text="b", choice=1)]
    for _ in range(2):
        assert await backend.claims.append(claim, 1, entries) == 2
    assert [entry_id for entry_id, _ in await backend.log.read(spec.id)] == ["1-1", "1-2"]


async def test_entries_that_redis_has_lost_are_missed_by_the_next_append(backend: JobBackend, new_spec: Specs) -> None:
    spec = new_spec()
    claim = await backend.given(spec, "one")
    await backend.claims.append(claim, 1, [Delta(text="a"), Delta(text="b"), Delta(text="c")])
    await backend.redis.delete(events_key(spec.id))
    await backend.claims.append(claim, 1, [Delta(text="a")])
    assert await backend.claims.append(claim, 4, [Delta(text="d")]) == 1
    assert await texts(backend, spec.id) == ["a"]


async def test_an_epoch_that_redis_gives_twice_lets_only_the_second_claimant_write(backend: JobBackend, new_spec: Specs) -> None:
    spec = new_spec()
    first = await backend.given(spec, "one")
    await backend.redis.hset(job_key(spec.id), mapping={"state": "queued", "epoch": 0, "claim": ""})  # its last second was lost
    second = await backend.claims.claim(spec.id, "two")
    assert second
    assert second.epoch == first.epoch
    with pytest.raises(Fenced):
        await backend.claims.append(first, 1, [Delta(text="stale")])
    assert await backend.claims.append(second, 1, [Delta(text="a")]) == 1


async def test_deaths_without_progress_are_counted_and_progress_forgives_them(backend: JobBackend, new_spec: Specs) -> None:
    spec = new_spec()
    await backend.queue.submit(spec)
    for deaths in range(2):
        assert (await backend.give(spec, f"worker {deaths}")).deaths == deaths
        await backend.bury(f"worker {deaths}")
    assert await backend.queue.waiting(f"{QUEUE}.suspects", 9) == [spec.id]
    claim = await backend.claims.claim(spec.id, "three")
    assert claim
    assert claim.deaths == 2
    await backend.claims.append(claim, 1, [Delta(text="a")])
    assert await backend.claims.hand_back(claim)
    again = await backend.claims.claim(spec.id, "four")
    assert again
    assert again.deaths == 0


async def test_a_handed_back_job_can_be_claimed_at_once_and_its_giver_is_fenced(backend: JobBackend, new_spec: Specs) -> None:
    spec = new_spec()
    giver = await backend.given(spec, "one")
    assert await backend.claims.hand_back(giver)
    with pytest.raises(Fenced):
        await backend.claims.append(giver, 1, [Delta(text="late")])
    assert not await backend.claims.hand_back(giver)
    again = await backend.claims.claim(spec.id, "two")
    assert again
    assert again.deaths == 0


async def test_cancelling_a_queued_job_ends_it_there_and_then(backend: JobBackend, new_spec: Specs) -> None:
    spec = new_spec()
    await backend.queue.submit(spec, BODY)
    assert await backend.claims.cancel(spec.id) == "queued"
    assert [event for _, event in await backend.log.read(spec.id)] == [Cancelled()]
    assert not await backend.redis.hexists(job_key(spec.id), "input")
    assert await backend.claims.claim(spec.id, "one") is None
    assert await backend.claims.cancel(spec.id) == "cancelled"
    assert await backend.claims.cancel("nothing") == "gone"


async def test_cancelling_a_running_job_is_seen_by_whoever_looks(backend: JobBackend, new_spec: Specs) -> None:
    spec = new_spec()
    claim = await backend.given(spec, "one")
    assert await backend.claims.look([claim]) == [Held.KEPT]
    assert await backend.claims.cancel(spec.id) == "running"
    assert await backend.claims.look([claim]) == [Held.CANCELLED]
    await backend.bury("one")
    assert await backend.claims.look([claim]) == [Held.LOST]


async def test_a_job_that_nobody_takes_can_be_ended_with_the_reason_and_a_running_one_cannot(backend: JobBackend, new_spec: Specs) -> None:
    waiting, running = new_spec(), new_spec()
    await backend.given(running, "one")
    await backend.queue.submit(waiting)
    why = Failed(code="unavailable", detail="Nobody serves it.")
    assert await backend.claims.fail(waiting.id, why)
    assert not await backend.claims.fail(running.id, why)
    assert [event for _, event in await backend.log.read(waiting.id)] == [why]
    assert await backend.log.read(running.id) == []


async def test_scripts_survive_a_redis_that_has_forgotten_them(backend: JobBackend, new_spec: Specs) -> None:
    await backend.queue.submit(new_spec())
    await backend.redis.script_flush()
    await backend.queue.submit(new_spec())
    assert await backend.queue.lengths([QUEUE]) == [2]


async def test_what_was_asked_is_kept_until_the_end_whoever_takes_the_job_over_and_no_longer(backend: JobBackend, new_spec: Specs) -> None:
    spec, asked = new_spec(), b"x" * 100_000
    await backend.queue.submit(spec, asked)
    lost = await backend.give(spec, "one")
    await backend.bury("one")
    handed = await backend.give(spec, "two")
    await backend.claims.hand_back(handed)
    last = await backend.claims.claim(spec.id, "three")
    assert last
    assert lost.input == handed.input == last.input == asked
    for _ in range(2):  # the first answer may be lost
        await backend.claims.append(last, 1, [Finished()], end=JobStatus.FINISHED)
    assert 0 < (await backend.redis.memory_usage(job_key(spec.id)) or 0) < 2_000
    assert await backend.claims.claim(spec.id, "four") is None
    assert await backend.claims.spec(spec.id) == spec


async def test_a_late_end_of_a_worker_that_was_replaced_takes_nothing_away(backend: JobBackend, new_spec: Specs) -> None:
    spec = new_spec()
    stale = await backend.given(spec, "one")
    await backend.bury("one")
    await backend.give(spec, "two")
    with pytest.raises(Fenced):
        await backend.claims.append(stale, 1, [Finished()], end=JobStatus.FINISHED)
    await backend.bury("two")
    last = await backend.claims.claim(spec.id, "three")
    assert last
    assert last.input == BODY


async def test_what_the_first_claim_pins_is_what_every_later_one_gets(backend: JobBackend, new_spec: Specs) -> None:
    spec = new_spec()
    first = await backend.given(spec, "one")
    assert await backend.claims.pin(first, b"the question") == b"the question"
    await backend.bury("one")
    second = await backend.give(spec, "two")
    assert await backend.claims.pin(second, b"another question") == b"the question"
    await backend.bury("two")
    third = await backend.claims.claim(spec.id, "three")
    assert third
    assert second.prompt == third.prompt == b"the question"


async def test_a_begun_job_that_cannot_go_on_elsewhere_waits_for_its_worker_to_come_back(backend: JobBackend) -> None:
    spec = new_reply("relay_reply")
    claim = await backend.given(spec, "one")
    assert (await backend.claims.release(spec.id, "two", patient=True)).spec is None
    await backend.claims.append(claim, 1, [Delta(text="a")])
    assert (await backend.claims.release(spec.id, "one", patient=True)).later
    assert await backend.claims.append(claim, 2, [Delta(text="b")]) == 2
    released = await backend.claims.release(spec.id, "one", patient=False)
    assert (released.spec, released.deaths, released.was_running) == (spec, 1, True)


@pytest.mark.parametrize("done", [Step(key="round-1", result=DONE), ToolResult(key="1.0", result=DONE)], ids=["step", "call"])
async def test_a_begun_job_can_go_on_elsewhere_behind_what_is_done(backend: JobBackend, done: Event) -> None:
    spec = new_reply("relay_reply")
    claim = await backend.given(spec, "one")
    assert await backend.claims.append(claim, 1, [Delta(text="a"), done]) == 2
    released = await backend.claims.release(spec.id, "one", patient=True)
    assert (released.spec, released.was_running) == (spec, True)
    again = await backend.claims.claim(spec.id, "two")
    assert again
    assert await backend.claims.append(again, 1, [done, Delta(text="b")]) == 2
    assert (await backend.claims.release(spec.id, "two", patient=True)).later
