from collections.abc import Callable

import msgspec
import pytest

from core.jobs import GenerateReply
from core.jobs.claims import MAX_ATTEMPTS, Claim, Fenced, Held
from core.models.completions import Usage
from core.models.events import Cancelled, Delta, Finished
from core.models.generations import JobSpec, JobStatus
from tests.job_backend import JobBackend
from tests.polling import until

Specs = Callable[[], JobSpec]
USAGE = Usage(prompt_tokens=1, completion_tokens=1, total_tokens=2)


async def claimed(backend: JobBackend, spec: JobSpec, worker: str = "one") -> Claim:
    claim = await backend.claims.claim(spec.id, worker)
    assert claim
    return claim


async def test_a_submitted_job_is_claimed_with_its_spec(backend: JobBackend, new_spec: Specs) -> None:
    spec = new_spec()
    await backend.claims.submit(spec)
    claim = await claimed(backend, spec)
    assert (claim.epoch, claim.attempt, claim.cancelled) == (1, 1, False)
    assert claim.spec.id == spec.id
    assert msgspec.json.decode(claim.spec.body)["model"] == "m"


async def test_a_job_that_keeps_its_body_in_its_spec_as_it_was_once_stored_is_claimed_with_it(backend: JobBackend, new_spec: Specs) -> None:
    spec = new_spec()
    await backend.claims.submit(spec)
    await backend.redis.hdel(f"job:{spec.id}", "body")
    await backend.redis.hset(f"job:{spec.id}", "spec", msgspec.json.encode(spec))
    claim = await claimed(backend, spec)
    assert msgspec.json.decode(claim.spec.body) == msgspec.json.decode(spec.body)
    again = await backend.claims.spec(spec.id)
    assert again
    assert again.served == "m"


async def test_a_held_job_is_refused_to_a_second_worker(backend: JobBackend, new_spec: Specs) -> None:
    spec = new_spec()
    await backend.claims.submit(spec)
    await claimed(backend, spec)
    assert await backend.claims.claim(spec.id, "two") is None


async def test_an_unknown_job_is_refused(backend: JobBackend) -> None:
    assert await backend.claims.claim("nothing", "one") is None


async def test_an_ended_job_is_refused(backend: JobBackend, new_spec: Specs) -> None:
    spec = new_spec()
    await backend.claims.submit(spec)
    claim = await claimed(backend, spec)
    await backend.claims.append(claim, 1, [Finished(usage=USAGE)], end=JobStatus.FINISHED)
    assert await backend.claims.claim(spec.id, "two") is None
    assert await backend.redis.zscore("leases", spec.id) is None


async def test_a_stale_writer_is_fenced_and_nothing_of_it_is_kept(backend: JobBackend, new_spec: Specs) -> None:
    spec = new_spec()
    await backend.claims.submit(spec)
    stale = await claimed(backend, spec)
    await backend.claims.append(stale, 1, [Delta(text="a")])
    await until(backend.queue.reap, "the lease runs out")
    fresh = await claimed(backend, spec, "two")
    with pytest.raises(Fenced):
        await backend.claims.append(stale, 2, [Delta(text="stale")])
    await backend.claims.append(fresh, 1, [Delta(text="b")])
    with pytest.raises(Fenced):
        await backend.claims.append(stale, 3, [Delta(text="stale")])
    assert [event.text for _, event in await backend.log.read(spec.id) if isinstance(event, Delta)] == ["a", "b"]


async def test_an_append_whose_answer_was_lost_may_be_repeated(backend: JobBackend, new_spec: Specs) -> None:
    spec = new_spec()
    await backend.claims.submit(spec)
    claim = await claimed(backend, spec)
    entries = [Delta(text="a"), Delta(text="b", choice=1)]
    await backend.claims.append(claim, 1, entries)
    await backend.claims.append(claim, 1, entries)
    assert [entry_id for entry_id, _ in await backend.log.read(spec.id)] == ["1-1", "1-2"]


async def test_a_renewed_lease_outlives_its_length_and_a_silent_one_does_not(backend: JobBackend, new_spec: Specs) -> None:
    kept, silent = new_spec(), new_spec()
    for spec in (kept, silent):
        await backend.claims.submit(spec)
    claim = await claimed(backend, kept)
    await claimed(backend, silent)

    async def reaped() -> list[str]:
        assert await backend.claims.renew([claim]) == {kept.id: Held.KEPT}
        return await backend.queue.reap()

    assert await until(reaped, "the silent one is reaped") == [silent.id]


async def test_attempts_without_progress_are_counted_and_progress_forgives_them(backend: JobBackend, new_spec: Specs) -> None:
    spec = new_spec()
    await backend.claims.submit(spec)
    for attempt in range(1, MAX_ATTEMPTS + 2):
        claim = await claimed(backend, spec, f"worker {attempt}")
        assert claim.attempt == attempt
        await until(backend.queue.reap, "the lease runs out")
    claim = await claimed(backend, spec)
    await backend.claims.append(claim, 1, [Delta(text="a")])
    await until(backend.queue.reap, "the lease runs out")
    assert (await claimed(backend, spec)).attempt == 1


async def test_a_handed_back_job_can_be_claimed_at_once_and_its_giver_is_fenced(backend: JobBackend, new_spec: Specs) -> None:
    spec = new_spec()
    await backend.claims.submit(spec)
    giver = await claimed(backend, spec)
    assert await backend.claims.hand_back(giver)
    with pytest.raises(Fenced):
        await backend.claims.append(giver, 1, [Delta(text="late")])
    assert not await backend.claims.hand_back(giver)
    assert (await claimed(backend, spec, "two")).attempt == 1


async def test_cancelling_a_queued_job_ends_it_there_and_then(backend: JobBackend, new_spec: Specs) -> None:
    spec = new_spec()
    await backend.claims.submit(spec)
    assert await backend.claims.cancel(spec.id) == "queued"
    assert [event for _, event in await backend.log.read(spec.id)] == [Cancelled()]
    assert await backend.claims.claim(spec.id, "one") is None
    assert await backend.claims.cancel(spec.id) == "cancelled"
    assert await backend.claims.cancel("nothing") == "gone"


async def test_cancelling_a_running_job_tells_its_worker_at_the_next_renewal_too(backend: JobBackend, new_spec: Specs) -> None:
    spec = new_spec()
    await backend.claims.submit(spec)
    claim = await claimed(backend, spec)
    assert await backend.claims.cancel(spec.id) == "running"
    assert await backend.claims.renew([claim]) == {spec.id: Held.CANCELLED}


async def test_scripts_survive_a_redis_that_has_forgotten_them(backend: JobBackend, new_spec: Specs) -> None:
    await backend.claims.submit(new_spec())
    await backend.redis.script_flush()
    spec = new_spec()
    await backend.claims.submit(spec)
    await backend.queue.enqueue(GenerateReply(id=spec.id))
    assert await backend.queue.length("gpu.generate") == 1


async def test_what_was_asked_is_kept_until_the_end_whoever_takes_the_job_over_and_no_longer(backend: JobBackend, new_spec: Specs) -> None:
    spec = msgspec.structs.replace(new_spec(), body=msgspec.Raw(b'{"model": "m", "prompt": "' + b"x" * 100_000 + b'"}'))
    await backend.claims.submit(spec)
    lost = await claimed(backend, spec)
    await until(backend.queue.reap, "the lease runs out")
    handed = await claimed(backend, spec, "two")
    await backend.claims.hand_back(handed)
    last = await claimed(backend, spec, "three")
    assert bytes(lost.spec.body) == bytes(handed.spec.body) == bytes(last.spec.body) == bytes(spec.body)
    for _ in range(2):  # the first answer may be lost
        await backend.claims.append(last, 1, [Finished(usage=USAGE)], end=JobStatus.FINISHED)
    assert 0 < (await backend.redis.memory_usage(f"job:{spec.id}") or 0) < 2_000
    assert await backend.claims.claim(spec.id, "four") is None
    known = await backend.claims.spec(spec.id)
    assert known
    assert (known.id, known.user_id, known.model) == (spec.id, spec.user_id, spec.model)


async def test_a_late_end_of_a_worker_that_was_replaced_takes_nothing_away(backend: JobBackend, new_spec: Specs) -> None:
    spec = new_spec()
    await backend.claims.submit(spec)
    stale = await claimed(backend, spec)
    await until(backend.queue.reap, "the lease runs out")
    await claimed(backend, spec, "two")
    with pytest.raises(Fenced):
        await backend.claims.append(stale, 1, [Finished(usage=USAGE)], end=JobStatus.FINISHED)
    await until(backend.queue.reap, "the lease runs out")
    assert bytes((await claimed(backend, spec, "three")).spec.body) == bytes(spec.body)


async def test_stopping_one_that_waits_forgets_what_was_asked(backend: JobBackend, new_spec: Specs) -> None:
    spec = new_spec()
    await backend.claims.submit(spec)
    assert await backend.claims.cancel(spec.id) == "queued"
    assert not await backend.redis.hexists(f"job:{spec.id}", "body")
    assert await backend.claims.claim(spec.id, "one") is None
