from collections.abc import Callable

import msgspec
import pytest

from core.jobs import GenerateReply
from core.jobs.claims import MAX_ATTEMPTS, Claim, Fenced, Held
from core.models.completions import Usage
from core.models.events import Cancelled, Delta, Finished
from core.models.generations import GenerationSpec, GenerationStatus
from tests.job_backend import Desk
from tests.polling import until

Specs = Callable[[], GenerationSpec]
USAGE = Usage(prompt_tokens=1, completion_tokens=1, total_tokens=2)


async def claimed(desk: Desk, spec: GenerationSpec, worker: str = "one") -> Claim:
    claim = await desk.claims.claim(spec.id, worker)
    assert claim
    return claim


async def test_a_submitted_job_is_claimed_with_its_spec(desk: Desk, new_spec: Specs) -> None:
    spec = new_spec()
    await desk.claims.submit(spec)
    claim = await claimed(desk, spec)
    assert (claim.epoch, claim.attempt, claim.cancelled) == (1, 1, False)
    assert claim.spec.id == spec.id
    assert msgspec.json.decode(claim.spec.body)["model"] == "m"


async def test_a_job_that_keeps_its_body_in_its_spec_as_it_was_once_stored_is_claimed_with_it(desk: Desk, new_spec: Specs) -> None:
    spec = new_spec()
    await desk.claims.submit(spec)
    await desk.redis.hdel(f"job:{spec.id}", "body")
    await desk.redis.hset(f"job:{spec.id}", "spec", msgspec.json.encode(spec))
    claim = await claimed(desk, spec)
    assert msgspec.json.decode(claim.spec.body) == msgspec.json.decode(spec.body)
    again = await desk.claims.spec(spec.id)
    assert again
    assert again.served == "m"


async def test_a_held_job_is_refused_to_a_second_worker(desk: Desk, new_spec: Specs) -> None:
    spec = new_spec()
    await desk.claims.submit(spec)
    await claimed(desk, spec)
    assert await desk.claims.claim(spec.id, "two") is None


async def test_an_unknown_job_is_refused(desk: Desk) -> None:
    assert await desk.claims.claim("nothing", "one") is None


async def test_an_ended_job_is_refused(desk: Desk, new_spec: Specs) -> None:
    spec = new_spec()
    await desk.claims.submit(spec)
    claim = await claimed(desk, spec)
    await desk.claims.append(claim, 1, [Finished(usage=USAGE)], end=GenerationStatus.FINISHED)
    assert await desk.claims.claim(spec.id, "two") is None
    assert await desk.redis.zscore("leases", spec.id) is None


async def test_a_stale_writer_is_fenced_and_nothing_of_it_is_kept(desk: Desk, new_spec: Specs) -> None:
    spec = new_spec()
    await desk.claims.submit(spec)
    stale = await claimed(desk, spec)
    await desk.claims.append(stale, 1, [Delta(text="a")])
    await until(desk.queue.reap, "the lease runs out")
    fresh = await claimed(desk, spec, "two")
    with pytest.raises(Fenced):
        await desk.claims.append(stale, 2, [Delta(text="stale")])
    await desk.claims.append(fresh, 1, [Delta(text="b")])
    with pytest.raises(Fenced):
        await desk.claims.append(stale, 3, [Delta(text="stale")])
    assert [event.text for _, event in await desk.log.read(spec.id) if isinstance(event, Delta)] == ["a", "b"]


async def test_an_append_whose_answer_was_lost_may_be_repeated(desk: Desk, new_spec: Specs) -> None:
    spec = new_spec()
    await desk.claims.submit(spec)
    claim = await claimed(desk, spec)
    entries = [Delta(text="a"), Delta(text="b", choice=1)]
    await desk.claims.append(claim, 1, entries)
    await desk.claims.append(claim, 1, entries)
    assert [entry_id for entry_id, _ in await desk.log.read(spec.id)] == ["1-1", "1-2"]


async def test_a_renewed_lease_outlives_its_length_and_a_silent_one_does_not(desk: Desk, new_spec: Specs) -> None:
    kept, silent = new_spec(), new_spec()
    for spec in (kept, silent):
        await desk.claims.submit(spec)
    claim = await claimed(desk, kept)
    await claimed(desk, silent)

    async def reaped() -> list[str]:
        assert await desk.claims.renew([claim]) == {kept.id: Held.KEPT}
        return await desk.queue.reap()

    assert await until(reaped, "the silent one is reaped") == [silent.id]


async def test_attempts_without_progress_are_counted_and_progress_forgives_them(desk: Desk, new_spec: Specs) -> None:
    spec = new_spec()
    await desk.claims.submit(spec)
    for attempt in range(1, MAX_ATTEMPTS + 2):
        claim = await claimed(desk, spec, f"worker {attempt}")
        assert claim.attempt == attempt
        await until(desk.queue.reap, "the lease runs out")
    claim = await claimed(desk, spec)
    await desk.claims.append(claim, 1, [Delta(text="a")])
    await until(desk.queue.reap, "the lease runs out")
    assert (await claimed(desk, spec)).attempt == 1


async def test_a_handed_back_job_can_be_claimed_at_once_and_its_giver_is_fenced(desk: Desk, new_spec: Specs) -> None:
    spec = new_spec()
    await desk.claims.submit(spec)
    giver = await claimed(desk, spec)
    assert await desk.claims.hand_back(giver)
    with pytest.raises(Fenced):
        await desk.claims.append(giver, 1, [Delta(text="late")])
    assert not await desk.claims.hand_back(giver)
    assert (await claimed(desk, spec, "two")).attempt == 1


async def test_cancelling_a_queued_job_ends_it_there_and_then(desk: Desk, new_spec: Specs) -> None:
    spec = new_spec()
    await desk.claims.submit(spec)
    assert await desk.claims.cancel(spec.id) == "queued"
    assert [event for _, event in await desk.log.read(spec.id)] == [Cancelled()]
    assert await desk.claims.claim(spec.id, "one") is None
    assert await desk.claims.cancel(spec.id) == "cancelled"
    assert await desk.claims.cancel("nothing") == "gone"


async def test_cancelling_a_running_job_tells_its_worker_at_the_next_renewal_too(desk: Desk, new_spec: Specs) -> None:
    spec = new_spec()
    await desk.claims.submit(spec)
    claim = await claimed(desk, spec)
    assert await desk.claims.cancel(spec.id) == "running"
    assert await desk.claims.renew([claim]) == {spec.id: Held.CANCELLED}


async def test_scripts_survive_a_redis_that_has_forgotten_them(desk: Desk, new_spec: Specs) -> None:
    await desk.claims.submit(new_spec())
    await desk.redis.script_flush()
    spec = new_spec()
    await desk.claims.submit(spec)
    await desk.queue.enqueue(GenerateReply(id=spec.id))
    assert await desk.queue.length("gpu.generate") == 1


async def test_what_was_asked_is_kept_until_the_end_whoever_takes_the_job_over_and_no_longer(desk: Desk, new_spec: Specs) -> None:
    spec = msgspec.structs.replace(new_spec(), body=msgspec.Raw(b'{"model": "m", "prompt": "' + b"x" * 100_000 + b'"}'))
    await desk.claims.submit(spec)
    lost = await claimed(desk, spec)
    await until(desk.queue.reap, "the lease runs out")
    handed = await claimed(desk, spec, "two")
    await desk.claims.hand_back(handed)
    last = await claimed(desk, spec, "three")
    assert bytes(lost.spec.body) == bytes(handed.spec.body) == bytes(last.spec.body) == bytes(spec.body)
    for _ in range(2):  # the first answer may be lost
        await desk.claims.append(last, 1, [Finished(usage=USAGE)], end=GenerationStatus.FINISHED)
    assert 0 < (await desk.redis.memory_usage(f"job:{spec.id}") or 0) < 2_000
    assert await desk.claims.claim(spec.id, "four") is None
    known = await desk.claims.spec(spec.id)
    assert known
    assert (known.id, known.user_id, known.model) == (spec.id, spec.user_id, spec.model)


async def test_a_late_end_of_a_worker_that_was_replaced_takes_nothing_away(desk: Desk, new_spec: Specs) -> None:
    spec = new_spec()
    await desk.claims.submit(spec)
    stale = await claimed(desk, spec)
    await until(desk.queue.reap, "the lease runs out")
    await claimed(desk, spec, "two")
    with pytest.raises(Fenced):
        await desk.claims.append(stale, 1, [Finished(usage=USAGE)], end=GenerationStatus.FINISHED)
    await until(desk.queue.reap, "the lease runs out")
    assert bytes((await claimed(desk, spec, "three")).spec.body) == bytes(spec.body)


async def test_stopping_one_that_waits_forgets_what_was_asked(desk: Desk, new_spec: Specs) -> None:
    spec = new_spec()
    await desk.claims.submit(spec)
    assert await desk.claims.cancel(spec.id) == "queued"
    assert not await desk.redis.hexists(f"job:{spec.id}", "body")
    assert await desk.claims.claim(spec.id, "one") is None
