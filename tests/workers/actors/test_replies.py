import asyncio
from collections.abc import Callable

import pytest
from structlog.testing import capture_logs

from core.errors import Unavailable, UpstreamRefused
from core.jobs import MAX_DEATHS, SUSPECT_DEATHS
from core.models.events import Cancelled, Delta, Event, Failed, Finished, Started
from core.models.jobs import JobStatus
from core.models.numerics import Continued
from core.redis.keys import SUSPECTS, events_key
from tests.job_backend import JobBackend
from tests.polling import until
from tests.workers.conftest import WORDS, Bench, Counting, longer, release, stepwise, submitted

Benches = Callable[..., Bench]
WHOLE = "".join(WORDS)


async def heard(backend: JobBackend, job_id: str) -> list[Event]:
    """All that a listener hears, as it comes."""
    return [event async for _, event in backend.log.subscribe(job_id)]


async def test_an_answer_is_logged_saved_and_ended(backend: JobBackend, new_bench: Benches) -> None:
    spec, bench = await submitted(backend), new_bench()
    await bench.make(spec.queue)
    entries = [event for _, event in await backend.log.read(spec.id)]
    assert entries[0] == Started(model="m", attempt=1, worker="one", fingerprint="f1")
    assert await bench.text(spec.id) == WHOLE
    assert isinstance(entries[-1], Finished)
    assert bench.kept.saved == [(spec.id, WHOLE, JobStatus.FINISHED)]


async def test_a_second_delivery_of_the_same_job_does_nothing(backend: JobBackend, new_bench: Benches) -> None:
    spec, bench = await submitted(backend), new_bench()
    await bench.make(spec.queue)
    assert await bench.make(spec.queue, spec.id)
    assert await bench.text(spec.id) == WHOLE


async def test_a_dead_workers_answer_goes_on_where_it_stopped(backend: JobBackend, new_bench: Benches) -> None:
    spec, dying, heir = await submitted(backend), new_bench(stepwise()), new_bench(name="two")
    task = dying.begin(spec)
    release(dying.generator, 7)
    await until(lambda: longer(dying, spec.id, 6), "seven words are out")
    await dying.die()
    await backend.bury("one", dying.fetching.queues or (spec.queue,))
    await heir.make(spec.queue)
    release(dying.generator, 20)  # it was only slow: what it says now is refused
    await task
    assert await heir.text(spec.id) == WHOLE
    assert await heir.starts(spec.id) == [("one", None), ("two", "exact")]
    assert dying.kept.saved == []


async def test_a_drained_workers_answer_is_handed_over_at_once(backend: JobBackend, new_bench: Benches) -> None:
    spec, leaving, heir = await submitted(backend), new_bench(stepwise()), new_bench(name="two")
    task = leaving.begin(spec)
    release(leaving.generator, 7)
    await until(lambda: longer(leaving, spec.id, 6), "seven words are out")
    await leaving.leases.drain(1)
    await task
    assert leaving.generator.closed == 1
    assert await backend.queue.lengths([spec.queue]) == [1]
    await heir.make(spec.queue)
    assert await heir.text(spec.id) == WHOLE
    assert leaving.kept.saved == []


async def test_a_stopped_answer_keeps_what_arrived(backend: JobBackend, new_bench: Benches) -> None:
    spec, bench = await submitted(backend), new_bench(stepwise())
    task = bench.begin(spec)
    release(bench.generator, 3)
    await until(lambda: longer(bench, spec.id, 2), "three words are out")
    assert await backend.claims.cancel(spec.id) == "running"
    await task
    assert bench.generator.closed == 1
    assert await bench.last(spec.id) == Cancelled()
    assert bench.kept.saved == [(spec.id, "0 1 2 ", JobStatus.CANCELLED)]


async def test_an_expected_failure_is_told_in_its_own_words(backend: JobBackend, new_bench: Benches) -> None:
    spec, bench = await submitted(backend), new_bench()
    bench.generator.error = UpstreamRefused("The upstream is away.")
    await bench.make(spec.queue)
    assert await bench.last(spec.id) == Failed(code="upstream_refused", detail="The upstream is away.")


async def test_a_bug_is_told_without_its_details_and_logged_once(backend: JobBackend, new_bench: Benches) -> None:
    spec, bench = await submitted(backend), new_bench()
    bench.generator.error = ZeroDivisionError("secret")
    with capture_logs() as lines:
        await bench.make(spec.queue)
    failed = await bench.last(spec.id)
    assert isinstance(failed, Failed)
    assert (failed.code, "secret" in failed.detail, spec.id in failed.detail) == ("internal_error", False, True)
    assert [line["event"] for line in lines if line["log_level"] == "error"] == ["unhandled error"]


async def test_an_upstreams_begun_answer_cannot_be_continued_and_says_so(backend: JobBackend, new_bench: Benches) -> None:
    spec, dying, heir = await submitted(backend, "relay_reply"), new_bench(stepwise(None)), new_bench(Counting(None), name="two")
    task = dying.begin(spec)
    release(dying.generator, 2)
    await until(lambda: longer(dying, spec.id, 1), "two words are out")
    await dying.die()
    await backend.bury("one", dying.fetching.queues or (spec.queue,))
    await heir.make(spec.queue)
    failed = await heir.last(spec.id)
    assert isinstance(failed, Failed)
    assert failed.code == "upstream_broken"
    assert heir.kept.saved == [(spec.id, "0 1 ", JobStatus.FAILED)]
    release(dying.generator, 20)
    await task


async def test_a_request_that_kills_its_workers_is_given_up(backend: JobBackend, new_bench: Benches) -> None:
    spec, bench = await submitted(backend), new_bench(name="last")
    for number in range(MAX_DEATHS):
        queue = spec.queue if number < SUSPECT_DEATHS else spec.queue + SUSPECTS
        await backend.queue.fetch(queue, f"dying {number}", 1)
        assert await backend.claims.claim(spec.id, f"dying {number}")
        await backend.bury(f"dying {number}", (queue,))
    await bench.make(spec.queue + SUSPECTS)
    failed = await bench.last(spec.id)
    assert isinstance(failed, Failed)
    assert "given up" in failed.detail


async def test_deltas_that_come_fast_are_joined_and_the_first_is_not_held_up(backend: JobBackend, new_bench: Benches) -> None:
    spec, bench = await submitted(backend), new_bench(stepwise())
    task = bench.begin(spec)
    listener = asyncio.create_task(heard(backend, spec.id))
    release(bench.generator, 1)
    await until(lambda: longer(bench, spec.id, 0), "the first word is out")
    release(bench.generator, 19)
    await task
    deltas = [event for event in await listener if isinstance(event, Delta)]
    assert deltas[0].text == "0 "
    assert len(deltas) < len(WORDS)
    assert [token for delta in deltas for token in delta.tokens] == list(range(len(WORDS)))


async def test_an_answer_that_drips_fails_at_its_time_limit_with_what_arrived_and_makes_room(
    backend: JobBackend, new_bench: Benches
) -> None:
    spec, bench = await submitted(backend), new_bench(stepwise())
    bench.attempts.time_limit_s = 0.2
    release(bench.generator, 3)
    await asyncio.wait_for(bench.make(spec.queue), 5)
    last = await bench.last(spec.id)
    assert isinstance(last, Failed)
    assert (last.code, "0.2 seconds" in last.detail) == ("unavailable", True)
    assert bench.kept.saved == [(spec.id, "".join(WORDS[:3]), JobStatus.FAILED)]
    assert (bench.generator.closed, len(bench.leases)) == (1, 0)


CHAINS: list[tuple[tuple[str, ...], list[Continued | None]]] = [
    (("f1", "f1", "f1"), [None, "exact", "exact"]),
    (("f1", "f2", "f1"), [None, "equivalent", "equivalent"]),
    (("f1", "f2", "f2"), [None, "equivalent", "equivalent"]),
    (("", "", ""), [None, "equivalent", "equivalent"]),
]


@pytest.mark.parametrize(("fingerprints", "said"), CHAINS)
async def test_exact_is_said_only_where_all_before_computed_the_same_bits(
    backend: JobBackend, new_bench: Benches, fingerprints: tuple[str, ...], said: list[Continued | None]
) -> None:
    spec = await submitted(backend)
    for number, fingerprint in enumerate(fingerprints, 1):
        bench = new_bench(stepwise(fingerprint=fingerprint), name=str(number))
        task = bench.begin(spec)
        release(bench.generator, 2)
        await until(lambda bench=bench, words=number * 2 - 1: longer(bench, spec.id, words), "two more words are out")  # type: ignore[misc]
        await bench.leases.drain(1)
        await task
    assert [continued for _, continued in await bench.starts(spec.id)] == said


async def test_an_answer_that_its_store_does_not_take_yet_is_saved_when_it_does_and_ends_whole(
    backend: JobBackend, new_bench: Benches
) -> None:
    spec, bench = await submitted(backend), new_bench()
    bench.kept.error = Unavailable("The store cannot be written to.")
    task = bench.begin(spec)
    await until(lambda: bench.kept.tried > 1, "it was tried more than once")
    assert await bench.text(spec.id) == WHOLE
    assert await backend.claims.state(spec.id) == "running"
    bench.kept.error = None
    await task
    assert isinstance(await bench.last(spec.id), Finished)
    assert bench.kept.saved == [(spec.id, WHOLE, JobStatus.FINISHED)]


@pytest.mark.parametrize("kind", ["generate_reply", "relay_reply"])
async def test_a_whole_answer_whose_worker_died_before_it_was_saved_can_only_finish(
    backend: JobBackend, new_bench: Benches, kind: str
) -> None:
    numerics: Continued | None = "exact" if kind == "generate_reply" else None
    spec, dying, heir = await submitted(backend, kind), new_bench(Counting(numerics)), new_bench(Counting(numerics), name="two")
    dying.kept.error = Unavailable("The store cannot be written to.")
    task = dying.begin(spec)
    await until(lambda: dying.kept.tried, "all of it is out")
    await dying.die()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await backend.bury("one", dying.fetching.queues)
    heir.generator.error = UpstreamRefused("The upstream is away.")
    await heir.make(spec.queue)
    assert isinstance(await heir.last(spec.id), Finished)
    assert heir.kept.saved == [(spec.id, WHOLE, JobStatus.FINISHED)]
    assert await heir.text(spec.id) == WHOLE


async def test_whoever_takes_an_answer_over_is_asked_what_the_first_one_was(backend: JobBackend, new_bench: Benches) -> None:
    spec, dying, heir = await submitted(backend), new_bench(stepwise()), new_bench(name="two")
    task = dying.begin(spec)
    release(dying.generator, 3)
    await until(lambda: longer(dying, spec.id, 2), "three words are out")
    await dying.die()
    dying.kept.question = heir.kept.question = "edited in the middle"
    await backend.bury("one", dying.fetching.queues)
    await heir.make(spec.queue)
    assert [asked["content"] for asked in heir.generator.asked[-1]] == ["the question"]
    release(dying.generator, 20)
    await task


async def test_a_relay_that_was_only_silent_goes_on_with_its_answers(backend: JobBackend, new_bench: Benches) -> None:
    spec, silent, other = await submitted(backend, "relay_reply"), new_bench(stepwise(None)), new_bench(Counting(None), name="two")
    task = silent.begin(spec)
    release(silent.generator, 2)
    await until(lambda: longer(silent, spec.id, 1), "two words are out")
    await silent.die()
    await backend.live("one", lasts_ms=0, queues=silent.fetching.queues)
    assert await backend.reaper.reap() == []
    assert len(await backend.workers.dead()) == 1
    await silent.start(takes=False)
    release(silent.generator, 20)
    await task
    assert other.kept.saved == []
    assert silent.kept.saved == [(spec.id, WHOLE, JobStatus.FINISHED)]


async def test_a_relay_that_leaves_finishes_what_has_begun_and_hands_back_the_rest(backend: JobBackend, new_bench: Benches) -> None:
    begun, leaving = await submitted(backend, "relay_reply"), new_bench(stepwise(None))
    first = leaving.begin(begun)
    release(leaving.generator, 2)
    await until(lambda: longer(leaving, begun.id, 1), "two words are out")
    waiting = await submitted(backend, "relay_reply")
    second = leaving.begin(waiting)
    await until(lambda: len(leaving.leases) == 2, "the other is claimed")
    drained = asyncio.create_task(leaving.leases.drain(20))
    await second
    assert await backend.queue.waiting(waiting.queue, 2) == [waiting.id]
    assert not first.done()
    release(leaving.generator, 40)
    await asyncio.gather(first, drained)
    assert leaving.kept.saved == [(begun.id, WHOLE, JobStatus.FINISHED)]


async def test_a_relay_that_cannot_wait_longer_says_what_became_of_the_answer(backend: JobBackend, new_bench: Benches) -> None:
    spec, leaving = await submitted(backend, "relay_reply"), new_bench(stepwise(None))
    task = leaving.begin(spec)
    release(leaving.generator, 2)
    await until(lambda: longer(leaving, spec.id, 1), "two words are out")
    await leaving.leases.drain(0.05)
    await task
    failed = await leaving.last(spec.id)
    assert isinstance(failed, Failed)
    assert failed.code == "upstream_broken"
    assert leaving.kept.saved == [(spec.id, "0 1 ", JobStatus.FAILED)]


async def test_a_log_that_redis_has_lost_the_end_of_is_completed(backend: JobBackend, new_bench: Benches) -> None:
    spec, bench = await submitted(backend), new_bench(stepwise())
    task = bench.begin(spec)
    for words in range(1, 6):
        release(bench.generator, 1)
        await until(lambda words=words: longer(bench, spec.id, words - 1), "a word is out")  # type: ignore[misc]
    kept = (await backend.scripts.command("XRANGE", events_key(spec.id), "-", "+"))[:3]
    await backend.redis.delete(events_key(spec.id))
    for entry_id, fields in kept:
        await backend.scripts.command("XADD", events_key(spec.id), entry_id, *fields)
    release(bench.generator, 20)
    await task
    assert await bench.text(spec.id) == WHOLE
