"""What becomes of a batch as its jobs end."""

import asyncio

import msgspec
import pytest

from core.errors import BadRequest, Unavailable
from core.jobs import KINDS, Kind, Repeat, batches
from core.jobs.batches import Batches
from core.jobs.ownership import cancel_user
from core.models.batches import BatchStatus, BatchStep
from core.models.events import Cancelled, Event, Failed, Finished, Progress
from core.models.jobs import JobSpec, JobStatus
from core.models.pools import Pool
from core.redis.keys import BATCHES, batch_keys, job_key, messages_key, waiting_key
from tests.core.jobs.hands import Hands
from tests.job_backend import JobBackend

PARSE, INDEX = "cpu.parse", "cpu.index"
STEPS = (BatchStep(kind="parse", queue=PARSE, attempts=2), BatchStep(kind="index", queue=INDEX))
BATCH = JobSpec(id="b", kind="ingest", queue="cpu.ingest", owner="u", created_at=1, request_id="r")
AWAY, BAD = Failed.of(Unavailable("away")), Failed.of(BadRequest("not a document"))


@pytest.fixture(autouse=True)
def kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ingest", "parse", "index"):
        row = Kind(actor=name, pool=Pool.CPU, classes=(name,), by_model=False, repeat=Repeat.RESTART, places=4)
        monkeypatch.setitem(KINDS, name, row)


@pytest.fixture
def made(backend: JobBackend) -> Batches:
    return Batches(backend.scripts, backend.claims, backend.queue)


@pytest.fixture
def hands(backend: JobBackend) -> Hands:
    return Hands(backend)


async def start(made: Batches, total: int = 3, *, in_flight: int = 2, steps: tuple[BatchStep, ...] = STEPS) -> None:
    await made.start(BATCH, steps, ({"file": f"f{number}%1"} for number in range(1, total + 1)), in_flight=in_flight)


async def status(made: Batches) -> BatchStatus:
    found = await made.status("b")
    assert found
    return found


async def told(backend: JobBackend) -> list[Event]:
    return [event for _, event in await backend.log.read("b")]


async def test_only_so_many_items_are_jobs_and_each_is_one_like_any_other(backend: JobBackend, made: Batches, hands: Hands) -> None:
    await start(made)
    assert await backend.queue.waiting(PARSE, 9) == ["b.1.1.1", "b.2.1.1"]
    assert await status(made) == BatchStatus(total=3, begun=2, completed=0, failed=0, in_flight={1: "b.1.1.1", 2: "b.2.1.1"})
    claim = await hands.take(PARSE)
    expected = JobSpec(
        id="b.1.1.1",
        kind="parse",
        queue=PARSE,
        owner="u",
        created_at=1,
        request_id="r",
        parent="b",
        payload=msgspec.Raw(b'{"file":"f1%1"}'),
    )
    assert claim.spec == expected
    assert claim.spec.payload_as(dict) == {"file": "f1%1"}


async def test_a_message_that_a_script_made_is_one_that_dramatiq_makes(backend: JobBackend, made: Batches) -> None:
    await start(made, 1)
    spec = await backend.claims.spec("b.1.1.1")
    assert spec
    (stored,) = await backend.redis.hvals(messages_key(PARSE))
    await backend.redis.delete(messages_key(PARSE), waiting_key(PARSE))
    await backend.queue.complete(spec, spec.id, PARSE)
    (enqueued,) = await backend.redis.hvals(messages_key(PARSE))
    one, other = msgspec.json.decode(stored), msgspec.json.decode(enqueued)
    assert one | {"message_timestamp": 0} == other | {"message_timestamp": 0}


async def test_the_end_of_a_step_submits_the_next_and_that_of_an_item_another(backend: JobBackend, made: Batches, hands: Hands) -> None:
    await start(made)
    await hands.end(await hands.take(PARSE))
    assert await backend.queue.waiting(INDEX, 9) == ["b.1.2.1"]
    assert (await status(made)).in_flight == {1: "b.1.2.1", 2: "b.2.1.1"}
    claim = await hands.take(INDEX)
    assert (claim.spec.kind, claim.spec.payload_as(dict)) == ("index", {"file": "f1%1"})
    await hands.end(claim)
    assert await status(made) == BatchStatus(total=3, begun=3, completed=1, failed=0, in_flight={2: "b.2.1.1", 3: "b.3.1.1"})


async def test_a_batch_is_finished_with_its_last_item_and_says_how_many_failed(backend: JobBackend, made: Batches, hands: Hands) -> None:
    await start(made)
    await hands.end(await hands.take(PARSE), BAD)
    for queue in (PARSE, PARSE, INDEX, INDEX):
        await hands.end(await hands.take(queue))
    events = await told(backend)
    assert events[0] == Progress(status="running", total=3, completed=0, failed=0)
    assert events[-2:] == [Progress(status="success", total=3, completed=2, failed=1), Finished()]
    assert await backend.claims.state("b") == JobStatus.FINISHED
    assert [key for key in batch_keys("b")[3:] if await backend.redis.exists(key)] == []
    assert await backend.queue.lengths([PARSE, INDEX]) == [0, 0]


async def test_one_that_has_begun_goes_on_where_memory_is_full(backend: JobBackend, made: Batches, hands: Hands) -> None:
    await start(made)
    claim = await hands.take(PARSE)
    await backend.redis.config_set("maxmemory", 1)
    try:
        await hands.end(claim)
    finally:
        await backend.redis.config_set("maxmemory", 0)
    assert await backend.queue.waiting(INDEX, 9) == ["b.1.2.1"]


async def test_an_empty_batch_is_finished_at_once(backend: JobBackend, made: Batches) -> None:
    await start(made, 0)
    assert await told(backend) == [Progress(status="success", total=0, completed=0, failed=0), Finished()]


async def test_what_went_well_is_forgotten_soon_and_what_failed_is_kept(backend: JobBackend, made: Batches, hands: Hands) -> None:
    await start(made)
    await hands.end(await hands.take(PARSE))
    await hands.end(await hands.take(PARSE), BAD)
    lives = [await backend.redis.ttl(job_key(job_id)) for job_id in ("b.1.1.1", "b.2.1.1", "b.1.2.1", "b")]
    assert lives[0] <= 60 < lives[1] <= 3_600 < min(lives[2:])


async def test_a_step_that_failed_for_now_is_tried_again_alone_and_not_for_ever(backend: JobBackend, made: Batches, hands: Hands) -> None:
    await start(made, 1)
    await hands.end(await hands.take(PARSE), AWAY)
    claim = await hands.take(PARSE)
    assert claim.spec.id == "b.1.1.2"
    await hands.end(claim)
    await hands.end(await hands.take(INDEX), AWAY)
    assert (await told(backend))[-2:] == [Progress(status="success", total=1, completed=0, failed=1), Finished()]
    assert [event for _, event in await backend.log.read("b.1.1.1")] == [AWAY]


async def test_one_that_killed_its_workers_is_not_tried_again(made: Batches, hands: Hands) -> None:
    await start(made, 1)
    claim = msgspec.structs.replace(await hands.take(PARSE), deaths=KINDS["parse"].max_deaths)
    await hands.end(claim, AWAY)
    assert (await status(made)).failed == 1


async def test_an_end_that_is_told_twice_counts_once(backend: JobBackend, made: Batches, hands: Hands) -> None:
    await start(made)
    claim = await hands.take(PARSE)
    for _ in range(3):
        await hands.end(claim)
    assert await backend.queue.waiting(INDEX, 9) == ["b.1.2.1"]
    claim = await hands.take(INDEX)
    for _ in range(3):
        await hands.end(claim)
    assert (await status(made)).completed == 1
    assert await backend.queue.waiting(PARSE, 9) == ["b.2.1.1", "b.3.1.1"]


async def test_starting_twice_because_an_answer_was_lost_changes_nothing(backend: JobBackend, made: Batches, hands: Hands) -> None:
    await start(made)
    await hands.end(await hands.take(PARSE))
    before = await status(made)
    await start(made)
    assert await status(made) == before
    assert await backend.queue.lengths([PARSE, INDEX]) == [1, 1]


async def test_two_who_start_it_at_once_start_it_once(backend: JobBackend, made: Batches) -> None:
    await asyncio.gather(start(made), start(made))
    assert (await status(made)).begun == 2
    assert await backend.queue.waiting(PARSE, 9) == ["b.1.1.1", "b.2.1.1"]


async def test_a_batch_lives_on_for_as_long_as_its_jobs_end(backend: JobBackend, made: Batches, hands: Hands) -> None:
    await start(made)
    for key in batch_keys("b")[:5]:
        await backend.redis.expire(key, 100)
    await hands.end(await hands.take(PARSE))
    assert [await backend.redis.ttl(key) > 3_600 for key in batch_keys("b")[:5]] == [True] * 5


async def test_stopping_a_batch_stops_what_waits_and_tells_what_runs(backend: JobBackend, made: Batches, hands: Hands) -> None:
    await start(made)
    running = await hands.take(PARSE)
    assert await backend.claims.cancel("b") == "queued"
    assert (await told(backend))[-1] == Cancelled()
    assert await backend.claims.state("b.2.1.1") == JobStatus.CANCELLED
    assert [held.name for held in await backend.claims.look([running])] == ["CANCELLED"]
    await hands.end(running, Cancelled())
    assert (await status(made)).in_flight == {}
    assert await backend.queue.lengths([INDEX]) == [0]
    assert len(await backend.queue.waiting(PARSE, 9)) == 1, "the stopped one's message, which counts no more"
    assert await backend.claims.claim("b.2.1.1", "one") is None


async def test_a_job_whose_batch_was_stopped_is_claimed_only_to_be_ended(backend: JobBackend, made: Batches, hands: Hands) -> None:
    await start(made)
    await backend.redis.hset(job_key("b"), "state", JobStatus.CANCELLED)  # and whoever stopped it died
    assert (await hands.take(PARSE)).cancelled


@pytest.mark.parametrize(("steps", "in_flight"), [((), 1), (STEPS, 0)])
async def test_a_batch_that_could_never_end_is_refused(made: Batches, steps: tuple[BatchStep, ...], in_flight: int) -> None:
    with pytest.raises(ValueError, match="at least one"):
        await start(made, in_flight=in_flight, steps=steps)


async def test_stopping_again_reaches_those_that_whoever_stopped_it_first_did_not(backend: JobBackend, made: Batches) -> None:
    await start(made)
    await backend.redis.hset(job_key("b"), "state", JobStatus.CANCELLED)
    assert await backend.claims.cancel("b") == JobStatus.CANCELLED
    assert await backend.claims.state("b.1.1.1") == JobStatus.CANCELLED


async def test_a_users_batches_are_stopped_as_a_whole(backend: JobBackend, made: Batches) -> None:
    await start(made)
    await cancel_user(backend.claims, backend.queue, "u")
    assert await backend.claims.state("b") == JobStatus.CANCELLED


async def test_an_item_that_nobody_serves_fails_and_the_next_one_waits(backend: JobBackend, made: Batches) -> None:
    await start(made)
    assert await backend.claims.fail("b.1.1.1", AWAY)
    await made.mend()
    assert await status(made) == BatchStatus(total=3, begun=3, completed=0, failed=1, in_flight={2: "b.2.1.1", 3: "b.3.1.1"})
    assert await backend.queue.waiting(PARSE, 9) == ["b.1.1.1", "b.2.1.1", "b.3.1.1"]


async def test_a_job_that_redis_forgot_is_submitted_once_more(backend: JobBackend, made: Batches) -> None:
    await start(made)
    await backend.redis.delete(job_key("b.1.1.1"))
    for _ in range(2):
        await made.mend()
    assert (await status(made)).in_flight == {1: "b.1.1.2", 2: "b.2.1.1"}


async def test_what_whoever_ended_a_step_did_not_live_to_submit_is_submitted(backend: JobBackend, made: Batches, hands: Hands) -> None:
    await start(made)
    await backend.claims.append(await hands.take(PARSE), 1, [Finished()], end=JobStatus.FINISHED)
    for _ in range(2):
        await made.mend()
    assert await backend.queue.waiting(INDEX, 9) == ["b.1.2.1"]
    assert not await backend.redis.exists(batch_keys("b")[5])


async def test_a_step_that_is_stopped_before_it_is_submitted_holds_up_nobody(backend: JobBackend, made: Batches, hands: Hands) -> None:
    await start(made)
    await backend.claims.append(await hands.take(PARSE), 1, [Finished()], end=JobStatus.FINISHED)
    await backend.claims.cancel("b")
    await made.mend()
    assert await backend.claims.state("b.1.2.1") == JobStatus.CANCELLED
    assert not await backend.redis.exists(batch_keys("b")[5])
    assert await backend.claims.claim("b.1.2.1", "one") is None


async def test_a_batch_that_has_ended_is_looked_at_no_more(backend: JobBackend, made: Batches, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "FORGOTTEN_S", -1.0)
    await start(made)
    await made.mend()
    assert await backend.redis.zrange(BATCHES, 0, -1) == [b"b"]
    await backend.claims.cancel("b")
    await made.mend()
    assert not await backend.redis.exists(BATCHES)


async def test_progress_is_told_at_a_bounded_rate(backend: JobBackend, made: Batches, hands: Hands) -> None:
    await start(made, 100, in_flight=10, steps=STEPS[:1])
    while claims := [await hands.take(PARSE) for _ in range(await backend.redis.llen(waiting_key(PARSE)))]:
        for claim in claims:
            await hands.end(claim)
    events = await told(backend)
    assert events[-2:] == [Progress(status="success", total=100, completed=100, failed=0), Finished()]
    assert len(events) < 50
