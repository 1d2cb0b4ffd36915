import asyncio
import random
from collections.abc import Callable

import msgspec
import pytest

from core.events.inbox import ENTRIES
from core.jobs.claims import Claim
from core.models.completions import Usage
from core.models.events import Delta, Finished
from core.models.generations import GenerationSpec, GenerationStatus
from tests.job_backend import Desk
from tests.polling import until

Specs = Callable[[], GenerationSpec]
END = Finished(usage=Usage(prompt_tokens=0, completion_tokens=0, total_tokens=0))


@pytest.fixture
async def claim(desk: Desk, new_spec: Specs) -> Claim:
    spec = new_spec()
    await desk.claims.submit(spec)
    claim = await desk.claims.claim(spec.id, "one")
    assert claim
    return claim


async def text(desk: Desk, job_id: str, after: str = "0-0", most: int | None = None) -> tuple[list[str], str]:
    """Texts as a listener hears them, and the last id; ``most``: how many before it goes away."""
    heard, last = [], after
    entries = desk.log.subscribe(job_id, after)
    async for entry_id, event in entries:
        last = entry_id
        if isinstance(event, Delta):
            heard.append(event.text)
        if most and len(heard) >= most:
            break
    await entries.aclose()
    return heard, last


async def write(desk: Desk, claim: Claim, count: int) -> None:
    for number in range(count):
        await desk.claims.append(claim, number + 1, [Delta(text=f"{number} ")])
    await desk.claims.append(claim, count + 1, [END], end=GenerationStatus.FINISHED)


async def test_every_listener_hears_everything_once_whatever_breaks(desk: Desk, claim: Claim) -> None:
    count, job_id = 600, claim.spec.id

    async def restless() -> list[str]:
        heard: list[str] = []
        last = "0-0"
        while len(heard) < count:
            more, last = await text(desk, job_id, last, most=random.randint(1, 60))
            heard += more
        return heard

    async def cut() -> None:
        for _ in range(5):
            await desk.redis.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
            await asyncio.sleep(0.05)

    steady = [asyncio.create_task(text(desk, job_id)) for _ in range(3)]
    jumpy = [asyncio.create_task(restless()) for _ in range(2)]
    await asyncio.gather(write(desk, claim, count), cut())
    expected = [f"{number} " for number in range(count)]
    assert [heard for heard, _ in await asyncio.gather(*steady)] == [expected] * 3
    assert await asyncio.gather(*jumpy) == [expected] * 2


async def test_a_late_listener_reads_the_backlog_and_ends(desk: Desk, claim: Claim) -> None:
    await write(desk, claim, 3)
    assert await text(desk, claim.spec.id) == (["0 ", "1 ", "2 "], "1-4")
    assert await text(desk, claim.spec.id, "1-2") == (["2 "], "1-4")


async def test_a_backlog_longer_than_a_page_is_read_whole(desk: Desk, claim: Claim) -> None:
    await write(desk, claim, 1203)
    heard, _ = await text(desk, claim.spec.id)
    assert heard == [f"{number} " for number in range(1203)]


async def test_a_listener_that_stops_reading_holds_bounded_memory_and_loses_nothing(desk: Desk, claim: Claim) -> None:
    entries = desk.log.subscribe(claim.spec.id)
    first = asyncio.ensure_future(anext(entries))
    await desk.claims.append(claim, 1, [Delta(text="0 ")])
    await first
    count = ENTRIES * 2
    for number in range(1, count):
        await desk.claims.append(claim, number + 1, [Delta(text=f"{number} ")])
    (inbox,) = desk.log._inboxes[f"job:{claim.spec.id}:events"]
    await until(lambda: inbox.gap, "the inbox overflows")
    assert len(inbox.items) <= ENTRIES
    await desk.claims.append(claim, count + 1, [END], end=GenerationStatus.FINISHED)
    heard = [event.text async for _, event in entries if isinstance(event, Delta)]
    assert heard == [f"{number} " for number in range(1, count)]


async def test_a_takeover_reads_as_one_text(desk: Desk, claim: Claim) -> None:
    listener = asyncio.create_task(text(desk, claim.spec.id))
    await desk.claims.append(claim, 1, [Delta(text="a")])
    await until(desk.queue.reap, "the lease runs out")
    heir = await desk.claims.claim(claim.spec.id, "two")
    assert heir
    await desk.claims.append(heir, 1, [Delta(text="b"), END], end=GenerationStatus.FINISHED)
    assert await listener == (["a", "b"], "2-2")


async def test_who_hears_a_topic_is_told_of_a_gap_after_a_break(desk: Desk) -> None:
    heard = desk.log.hear("topic")
    assert await anext(heard) is None
    await desk.log.notify("topic", b"one")
    assert await anext(heard) == b"one"
    after_break = asyncio.ensure_future(anext(heard))
    await desk.redis.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
    assert await after_break is None
    await desk.log.notify("topic", b"two")
    assert await anext(heard) == b"two"
    await heard.aclose()


async def test_an_expected_log_is_heard_from_its_first_entry_without_a_subscription(desk: Desk, new_spec: Specs) -> None:
    spec = msgspec.structs.replace(new_spec(), id=desk.log.new_id())
    desk.log.expect(spec.id)
    await desk.claims.submit(spec)
    own = await desk.claims.claim(spec.id, "one")
    assert own
    await write(desk, own, 20)
    assert not desk.log._inboxes
    heard = [event.text async for _, event in desk.log.subscribe(spec.id, fresh=True) if isinstance(event, Delta)]
    assert heard == [f"{number} " for number in range(20)]
    assert not desk.log._expected


async def test_an_expected_log_survives_a_cut_connection(desk: Desk, new_spec: Specs) -> None:
    spec = msgspec.structs.replace(new_spec(), id=desk.log.new_id())
    desk.log.expect(spec.id)
    await desk.claims.submit(spec)
    own = await desk.claims.claim(spec.id, "one")
    assert own
    listener = asyncio.create_task(_texts(desk, spec.id))
    await desk.redis.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
    await write(desk, own, 20)
    assert await listener == [f"{number} " for number in range(20)]


async def _texts(desk: Desk, job_id: str) -> list[str]:
    return [event.text async for _, event in desk.log.subscribe(job_id, fresh=True) if isinstance(event, Delta)]
