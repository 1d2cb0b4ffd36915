import asyncio
import random
from collections.abc import Callable

import msgspec
import pytest

from core.events.inbox import ENTRIES
from core.jobs.claims import Claim
from core.models.completions import Usage
from core.models.events import Delta, Finished
from core.models.jobs import JobSpec, JobStatus
from core.redis.keys import events_key
from tests.job_backend import JobBackend
from tests.job_backend import any_jobs_url as jobs_url
from tests.polling import until

__all__ = ["jobs_url"]

Specs = Callable[[], JobSpec]
END = Finished(usage=Usage(prompt_tokens=0, completion_tokens=0, total_tokens=0))


@pytest.fixture
async def claim(backend: JobBackend, new_spec: Specs) -> Claim:
    spec = new_spec()
    return await backend.given(spec, "one")


async def text(backend: JobBackend, job_id: str, after: str = "0-0", most: int | None = None) -> tuple[list[str], str]:
    """Texts as a listener hears them, and the last id; ``most``: how many before it goes away."""
    heard, last = [], after
    entries = backend.log.subscribe(job_id, after)
    async for entry_id, event in entries:
        last = entry_id
        if isinstance(event, Delta):
            heard.append(event.text)
        if most and len(heard) >= most:
            break
    await entries.aclose()
    return heard, last


async def cut_connections(backend: JobBackend) -> None:
    """Those that hear what is published."""
    for node in await backend.nodes():
        await node.execute_command("CLIENT", "KILL", "TYPE", "pubsub")


async def write(backend: JobBackend, claim: Claim, count: int) -> None:
    for number in range(count):
        await backend.claims.append(claim, number + 1, [Delta(text=f"{number} ")])
    await backend.claims.append(claim, count + 1, [END], end=JobStatus.FINISHED)


async def test_every_listener_hears_everything_once_whatever_breaks(backend: JobBackend, claim: Claim) -> None:
    count, job_id = 600, claim.spec.id

    async def restless() -> list[str]:
        heard: list[str] = []
        last = "0-0"
        while len(heard) < count:
            more, last = await text(backend, job_id, last, most=random.randint(1, 60))
            heard += more
        return heard

    async def cut() -> None:
        for _ in range(5):
            await cut_connections(backend)
            await asyncio.sleep(0.05)

    steady = [asyncio.create_task(text(backend, job_id)) for _ in range(3)]
    jumpy = [asyncio.create_task(restless()) for _ in range(2)]
    await asyncio.gather(write(backend, claim, count), cut())
    expected = [f"{number} " for number in range(count)]
    assert [heard for heard, _ in await asyncio.gather(*steady)] == [expected] * 3
    assert await asyncio.gather(*jumpy) == [expected] * 2


async def test_a_late_listener_reads_the_backlog_and_ends(backend: JobBackend, claim: Claim) -> None:
    await write(backend, claim, 3)
    assert await text(backend, claim.spec.id) == (["0 ", "1 ", "2 "], "1-4")
    assert await text(backend, claim.spec.id, "1-2") == (["2 "], "1-4")


async def test_a_backlog_longer_than_a_page_is_read_whole(backend: JobBackend, claim: Claim) -> None:
    await write(backend, claim, 1203)
    heard, _ = await text(backend, claim.spec.id)
    assert heard == [f"{number} " for number in range(1203)]


async def test_a_listener_that_stops_reading_holds_bounded_memory_and_loses_nothing(backend: JobBackend, claim: Claim) -> None:
    entries = backend.log.subscribe(claim.spec.id)
    first = asyncio.ensure_future(anext(entries))
    await backend.claims.append(claim, 1, [Delta(text="0 ")])
    await first
    count = ENTRIES * 2
    for number in range(1, count):
        await backend.claims.append(claim, number + 1, [Delta(text=f"{number} ")])
    (inbox,) = backend.log._inboxes[events_key(claim.spec.id)]
    await until(lambda: inbox.gap, "the inbox overflows")
    assert len(inbox.items) <= ENTRIES
    await backend.claims.append(claim, count + 1, [END], end=JobStatus.FINISHED)
    heard = [event.text async for _, event in entries if isinstance(event, Delta)]
    assert heard == [f"{number} " for number in range(1, count)]


async def test_a_takeover_reads_as_one_text(backend: JobBackend, claim: Claim) -> None:
    listener = asyncio.create_task(text(backend, claim.spec.id))
    await backend.claims.append(claim, 1, [Delta(text="a")])
    await backend.bury("one")
    heir = await backend.claims.claim(claim.spec.id, "two")
    assert heir
    await backend.claims.append(heir, 1, [Delta(text="b"), END], end=JobStatus.FINISHED)
    assert await listener == (["a", "b"], "2-2")


async def test_who_hears_a_topic_is_told_of_a_gap_after_a_break(backend: JobBackend) -> None:
    heard = backend.log.hear("topic")
    assert await anext(heard) is None
    await backend.log.notify("topic", b"one")
    assert await anext(heard) == b"one"
    after_break = asyncio.ensure_future(anext(heard))
    await cut_connections(backend)
    assert await after_break is None
    await backend.log.notify("topic", b"two")
    assert await anext(heard) == b"two"
    await heard.aclose()


async def test_an_expected_log_is_heard_from_its_first_entry_without_a_subscription(backend: JobBackend, new_spec: Specs) -> None:
    spec = msgspec.structs.replace(new_spec(), id=backend.log.new_id())
    backend.log.expect(spec.id)
    await backend.queue.submit(spec)
    own = await backend.claims.claim(spec.id, "one")
    assert own
    await write(backend, own, 20)
    assert not backend.log._inboxes
    heard = [event.text async for _, event in backend.log.subscribe(spec.id, fresh=True) if isinstance(event, Delta)]
    assert heard == [f"{number} " for number in range(20)]
    assert not backend.log._expected
    assert not backend.log._fresh


async def test_an_expected_log_survives_a_cut_connection(backend: JobBackend, new_spec: Specs) -> None:
    spec = msgspec.structs.replace(new_spec(), id=backend.log.new_id())
    backend.log.expect(spec.id)
    await backend.queue.submit(spec)
    own = await backend.claims.claim(spec.id, "one")
    assert own
    listener = asyncio.create_task(_texts(backend, spec.id))
    await cut_connections(backend)
    await write(backend, own, 20)
    assert await listener == [f"{number} " for number in range(20)]


async def _texts(backend: JobBackend, job_id: str) -> list[str]:
    return [event.text async for _, event in backend.log.subscribe(job_id, fresh=True) if isinstance(event, Delta)]
