"""What Redis keeps of jobs that have ended."""

import asyncio
from collections.abc import Callable

import pytest

from core.jobs import ENDED_S
from core.jobs.claims import Fenced, Held
from core.models.completions import Usage
from core.models.events import Cancelled, Delta, Event, Failed, Finished, Waiting
from core.models.jobs import JobSpec, JobStatus
from core.redis.keys import events_key, job_key
from tests.ended_jobs import TEXT, answer, chat_reply, memory_bytes
from tests.job_backend import QUEUE, JobBackend
from tests.upstream import WORDS

Specs = Callable[[], JobSpec]
KEPT = {b"spec", b"state", b"log"}
BY_ITS_WORKER = {b"claim", b"worker", b"epoch", b"deaths"}  # where a worker ended it
END = Finished(usage=Usage(prompt_tokens=1, completion_tokens=2, total_tokens=3))


async def heard(backend: JobBackend, job_id: str, after: str = "0-0") -> list[tuple[str, Event]]:
    return [entry async for entry in backend.log.subscribe(job_id, after)]


async def is_small(backend: JobBackend, job_id: str) -> bool:
    return set(await backend.redis.hkeys(job_key(job_id))) - BY_ITS_WORKER == KEPT and not await backend.redis.exists(events_key(job_id))


async def test_an_answer_of_64_tokens_takes_its_text_and_a_kilobyte(backend: JobBackend) -> None:
    spec = chat_reply("generate_reply", "m")
    await answer(backend, spec)
    assert await memory_bytes(backend, spec.id) <= 1_000 + len(TEXT)
    log = await backend.log.read(spec.id)
    assert [event.text for _, event in log if isinstance(event, Delta)] == WORDS
    assert [entry_id for entry_id, _ in log] == [f"1-{seq}" for seq in range(1, 68)]


async def test_whoever_comes_late_finds_it_ended(backend: JobBackend, new_spec: Specs) -> None:
    spec = new_spec()
    claim = await backend.given(spec, "one")
    await backend.claims.append(claim, 1, [Delta(text="a"), END], end=JobStatus.FINISHED)
    assert await is_small(backend, spec.id)
    assert await backend.claims.spec(spec.id) == spec
    assert await backend.claims.state(spec.id) == "finished"
    assert await backend.claims.claim(spec.id, "two") is None
    assert await backend.claims.look([claim]) == [Held.LOST]
    assert not await backend.claims.hand_back(claim)
    assert not (await backend.claims.release(spec.id, "one", patient=False)).spec
    assert await backend.claims.cancel(spec.id) == "finished"
    with pytest.raises(Fenced):
        await backend.claims.append(claim, 3, [Delta(text="late")])
    assert await heard(backend, spec.id) == [("1-1", Delta(text="a")), ("1-2", END)]


async def test_an_end_whose_answer_was_lost_may_be_repeated(backend: JobBackend, new_spec: Specs) -> None:
    spec = new_spec()
    claim = await backend.given(spec, "one")
    await backend.claims.append(claim, 1, [Delta(text="a")])
    listener = asyncio.create_task(heard(backend, spec.id))
    for _ in range(2):
        assert await backend.claims.append(claim, 2, [END], end=JobStatus.FINISHED) == 2
    assert await listener == await heard(backend, spec.id) == [("1-1", Delta(text="a")), ("1-2", END)]


async def test_what_redis_has_lost_of_a_log_is_in_it_when_it_has_ended(backend: JobBackend, new_spec: Specs) -> None:
    spec, before = new_spec(), [Delta(text="a"), Delta(text="b")]
    claim = await backend.given(spec, "one")
    await backend.claims.append(claim, 1, before)
    await backend.redis.xdel(events_key(spec.id), "1-2")
    await backend.claims.append(claim, 3, [END], end=JobStatus.FINISHED, before=before)
    assert await heard(backend, spec.id) == [("1-1", Delta(text="a")), ("1-2", Delta(text="b")), ("1-3", END)]


async def test_it_is_forgotten_after_its_kinds_time(backend: JobBackend, new_spec: Specs) -> None:
    spec = new_spec()
    claim = await backend.given(spec, "one")
    await backend.claims.append(claim, 1, [END], end=JobStatus.FINISHED)
    assert ENDED_S - 60 < await backend.redis.ttl(job_key(spec.id)) <= ENDED_S


async def test_what_earlier_workers_and_the_notice_said_is_kept(backend: JobBackend, new_spec: Specs) -> None:
    spec, notice = new_spec(), Waiting(detail="nobody")
    await backend.queue.submit(spec, notice=notice)
    first = await backend.give(spec, "one")
    await backend.claims.append(first, 1, [Delta(text="a", tokens=(1,)), Delta(text="b", tokens=(2,), choice=1)])
    await backend.bury("one")
    heir = await backend.claims.claim(spec.id, "two")
    assert heir
    await backend.claims.append(heir, 1, [Delta(text="c", tokens=(3,)), END], end=JobStatus.FINISHED)
    assert await is_small(backend, spec.id)
    whole = [("0-1", notice), ("1-1", Delta(text="a")), ("1-2", Delta(text="b", choice=1)), ("2-1", Delta(text="c")), ("2-2", END)]
    for begin, (after, _) in enumerate([("0-0", None), *whole]):
        assert await backend.log.read(spec.id, after) == whole[begin:]
        assert await heard(backend, spec.id, after) == whole[begin:]


async def test_what_ends_while_it_waits_is_small_at_once(backend: JobBackend, new_spec: Specs) -> None:
    cancelled, failed, begun = new_spec(), new_spec(), new_spec()
    why = Failed(code="unavailable", detail="nobody")
    claim = await backend.given(begun, "one")
    await backend.claims.append(claim, 1, [Delta(text="a", tokens=(1,))])
    await backend.claims.hand_back(claim)
    for spec in (cancelled, failed):
        await backend.queue.submit(spec, b"what was asked")
    assert await backend.claims.cancel(cancelled.id) == "queued"
    assert await backend.claims.cancel(begun.id) == "queued"
    assert await backend.claims.fail(failed.id, why)
    assert [await is_small(backend, spec.id) for spec in (cancelled, failed, begun)] == [True] * 3
    assert await heard(backend, cancelled.id) == [("1-1", Cancelled())]
    assert await heard(backend, failed.id) == [("1-1", why)]
    assert await heard(backend, begun.id) == [("1-1", Delta(text="a")), ("2-1", Cancelled())]
    assert await backend.claims.spec(begun.id) == begun
    assert begun.queue == QUEUE
