import asyncio
from collections.abc import Callable

import pytest
from structlog.testing import capture_logs

from core.errors import UpstreamRefused
from core.models.events import Cancelled, Delta, Failed, Finished, Started
from core.models.generations import JobSpec, JobStatus
from core.models.numerics import Continued
from tests.job_backend import JobBackend
from tests.polling import until
from tests.workers.conftest import WORDS, Bench, Counting, longer, release, stepwise, submitted

Benches = Callable[..., Bench]
Specs = Callable[[], JobSpec]
WHOLE = "".join(WORDS)


async def test_an_answer_is_logged_saved_and_ended(backend: JobBackend, new_spec: Specs, new_bench: Benches) -> None:
    spec, bench = await submitted(backend, new_spec), new_bench()
    await bench.replies.make(spec.id)
    entries = [event for _, event in await backend.log.read(spec.id)]
    assert entries[0] == Started(model="m", attempt=1, worker="one", fingerprint="f1")
    assert await bench.text(spec.id) == WHOLE
    assert isinstance(entries[-1], Finished)
    assert bench.kept.saved == [(spec.id, WHOLE, JobStatus.FINISHED)]


async def test_a_second_delivery_of_the_same_job_does_nothing(backend: JobBackend, new_spec: Specs, new_bench: Benches) -> None:
    spec, bench = await submitted(backend, new_spec), new_bench()
    await bench.replies.make(spec.id)
    await bench.replies.make(spec.id)
    assert await bench.text(spec.id) == WHOLE


async def test_a_dead_workers_answer_goes_on_where_it_stopped(backend: JobBackend, new_spec: Specs, new_bench: Benches) -> None:
    spec, dying, heir = await submitted(backend, new_spec), new_bench(stepwise()), new_bench(name="two")
    task = asyncio.create_task(dying.replies.make(spec.id))
    release(dying.generator, 7)
    await until(lambda: longer(dying, spec.id, 6), "seven words are out")
    await dying.die()
    await until(backend.queue.reap, "the lease runs out")
    await heir.replies.make(spec.id)
    release(dying.generator, 20)  # it was only slow: what it says now is refused
    await task
    assert await heir.text(spec.id) == WHOLE
    assert await heir.starts(spec.id) == [("one", None), ("two", "exact")]
    assert dying.kept.saved == []


async def test_a_drained_workers_answer_is_handed_over_at_once(backend: JobBackend, new_spec: Specs, new_bench: Benches) -> None:
    spec, leaving, heir = await submitted(backend, new_spec), new_bench(stepwise()), new_bench(name="two")
    task = asyncio.create_task(leaving.replies.make(spec.id))
    release(leaving.generator, 7)
    await until(lambda: longer(leaving, spec.id, 6), "seven words are out")
    await leaving.leases.drain()
    await task
    assert leaving.generator.closed == 1
    assert await backend.queue.length("gpu.generate") == 1
    await heir.replies.make(spec.id)
    assert await heir.text(spec.id) == WHOLE
    assert leaving.kept.saved == []


async def test_a_stopped_answer_keeps_what_arrived(backend: JobBackend, new_spec: Specs, new_bench: Benches) -> None:
    spec, bench = await submitted(backend, new_spec), new_bench(stepwise())
    task = asyncio.create_task(bench.replies.make(spec.id))
    release(bench.generator, 3)
    await until(lambda: longer(bench, spec.id, 2), "three words are out")
    assert await backend.claims.cancel(spec.id) == "running"
    await task
    assert bench.generator.closed == 1
    assert await bench.last(spec.id) == Cancelled()
    assert bench.kept.saved == [(spec.id, "0 1 2 ", JobStatus.CANCELLED)]


async def test_an_expected_failure_is_told_in_its_own_words(backend: JobBackend, new_spec: Specs, new_bench: Benches) -> None:
    spec, bench = await submitted(backend, new_spec), new_bench()
    bench.generator.error = UpstreamRefused("The upstream is away.")
    await bench.replies.make(spec.id)
    assert await bench.last(spec.id) == Failed(code="upstream_refused", detail="The upstream is away.")


async def test_a_bug_is_told_without_its_details_and_logged_once(backend: JobBackend, new_spec: Specs, new_bench: Benches) -> None:
    spec, bench = await submitted(backend, new_spec), new_bench()
    bench.generator.error = ZeroDivisionError("secret")
    with capture_logs() as lines:
        await bench.replies.make(spec.id)
    failed = await bench.last(spec.id)
    assert isinstance(failed, Failed)
    assert (failed.code, "secret" in failed.detail, spec.id in failed.detail) == ("internal_error", False, True)
    assert [line["event"] for line in lines if line["log_level"] == "error"] == ["unhandled error"]


async def test_an_upstreams_begun_answer_cannot_be_continued_and_says_so(backend: JobBackend, new_spec: Specs, new_bench: Benches) -> None:
    spec, dying, heir = await submitted(backend, new_spec), new_bench(stepwise(None)), new_bench(Counting(None), name="two")
    task = asyncio.create_task(dying.replies.make(spec.id))
    release(dying.generator, 2)
    await until(lambda: longer(dying, spec.id, 1), "two words are out")
    await dying.die()
    await until(backend.queue.reap, "the lease runs out")
    await heir.replies.make(spec.id)
    failed = await heir.last(spec.id)
    assert isinstance(failed, Failed)
    assert failed.code == "upstream_broken"
    assert heir.kept.saved == [(spec.id, "0 1 ", JobStatus.FAILED)]
    release(dying.generator, 20)
    await task


async def test_a_request_that_kills_its_workers_is_given_up(backend: JobBackend, new_spec: Specs, new_bench: Benches) -> None:
    spec, bench = await submitted(backend, new_spec), new_bench(name="last")
    for number in range(3):
        assert await backend.claims.claim(spec.id, f"dying {number}")
        await until(backend.queue.reap, "the lease runs out")
    await bench.replies.make(spec.id)
    failed = await bench.last(spec.id)
    assert isinstance(failed, Failed)
    assert "given up" in failed.detail


async def test_deltas_that_come_fast_are_joined_and_the_first_is_not_held_up(
    backend: JobBackend, new_spec: Specs, new_bench: Benches
) -> None:
    spec, bench = await submitted(backend, new_spec), new_bench(stepwise())
    task = asyncio.create_task(bench.replies.make(spec.id))
    release(bench.generator, 1)
    await until(lambda: longer(bench, spec.id, 0), "the first word is out")
    release(bench.generator, 19)
    await task
    deltas = [event for _, event in await backend.log.read(spec.id) if isinstance(event, Delta)]
    assert deltas[0].text == "0 "
    assert len(deltas) < len(WORDS)
    assert [token for delta in deltas for token in delta.tokens] == list(range(len(WORDS)))


async def test_an_answer_that_drips_fails_at_its_time_limit_with_what_arrived_and_makes_room(
    backend: JobBackend, new_spec: Specs, new_bench: Benches
) -> None:
    spec, bench = await submitted(backend, new_spec), new_bench(stepwise())
    bench.replies.timeout_s = 0.2
    release(bench.generator, 3)
    await asyncio.wait_for(bench.replies.make(spec.id), 5)
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
    backend: JobBackend, new_spec: Specs, new_bench: Benches, fingerprints: tuple[str, ...], said: list[Continued | None]
) -> None:
    spec = await submitted(backend, new_spec)
    for number, fingerprint in enumerate(fingerprints, 1):
        bench = new_bench(stepwise(fingerprint=fingerprint), name=str(number))
        task = asyncio.create_task(bench.replies.make(spec.id))
        release(bench.generator, 2)
        await until(lambda bench=bench, words=number * 2 - 1: longer(bench, spec.id, words), "two more words are out")  # type: ignore[misc]
        await bench.leases.drain()
        await task
    assert [continued for _, continued in await bench.starts(spec.id)] == said
