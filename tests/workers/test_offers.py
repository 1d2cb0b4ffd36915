"""A fleet in which not all workers compute the same bits: who goes on with an answer, and what it says."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from core.models.generations import JobSpec
from core.models.numerics import Continued
from tests.job_backend import JobBackend
from tests.polling import until
from tests.workers.conftest import PLACES, WORDS, Bench, Counting, longer, release, stepwise, submitted

Benches = Callable[..., Bench]
Specs = Callable[[], JobSpec]
WHOLE = "".join(WORDS)
BEGUN = 3


class Fleet:
    """Workers, of which the first has begun an answer."""

    def __init__(self, backend: JobBackend, spec: JobSpec, benches: list[Bench], task: "asyncio.Task[None]") -> None:
        self.backend = backend
        self.id = spec.id
        self.first, *self.others = benches
        self.task = task

    async def kill_first(self) -> None:
        """And have somebody else, of whatever kind, notice that its lease has run out."""
        await self.first.die()
        await until(lambda: self.backend.queue.reap(self.others[-1].offers.offer), "the lease runs out")

    async def drain_first(self) -> None:
        await self.first.taker.leave()
        await self.first.leases.drain()

    async def waiting(self) -> int:
        """How many messages are there for whoever comes."""
        return await self.backend.queue.length("gpu.generate")

    async def starts(self) -> list[tuple[str, Continued | None]]:
        return await self.first.starts(self.id)

    async def ends(self) -> None:
        async def complete() -> bool:
            return await self.first.text(self.id) == WHOLE

        await until(complete, "the answer is complete")
        release(self.first.generator, len(WORDS))  # one that only seemed to be dead ends, too
        await self.task


Fleets = Callable[..., Awaitable[Fleet]]


@pytest.fixture
def fleet(backend: JobBackend, new_spec: Specs, new_bench: Benches) -> Fleets:
    """Workers of these fingerprints, named by their number; the first has begun an answer and stands still."""

    async def make(*fingerprints: str, continued: Continued = "exact") -> Fleet:
        spec = await submitted(backend, new_spec)
        first = new_bench(stepwise(continued, fingerprints[0]), name="1")
        others = [new_bench(Counting(continued, fingerprint), name=str(number)) for number, fingerprint in enumerate(fingerprints[1:], 2)]
        for bench in (first, *others):
            await bench.report()
        task = asyncio.create_task(first.replies.make(spec.id))
        release(first.generator, BEGUN)
        await until(lambda: longer(first, spec.id, BEGUN - 1), "the answer is begun")
        return Fleet(backend, spec, [first, *others], task)

    return make


async def test_the_answer_of_a_dead_worker_is_given_to_the_one_of_its_kind(fleet: Fleets) -> None:
    mixed = await fleet("f1", "f1", "f2")
    await mixed.kill_first()
    assert await mixed.waiting() == 0
    await mixed.ends()
    assert await mixed.starts() == [("1", None), ("2", "exact")]


async def test_the_answer_of_a_worker_that_leaves_is_given_to_the_one_of_its_kind(fleet: Fleets) -> None:
    mixed = await fleet("f1", "f1", "f2")
    await mixed.drain_first()
    assert await mixed.waiting() == 0
    await mixed.ends()
    assert await mixed.starts() == [("1", None), ("2", "exact")]


@pytest.mark.parametrize("leave", [Fleet.kill_first, Fleet.drain_first])
async def test_without_another_of_its_kind_whoever_is_there_gets_it_at_once_and_says_that_it_is_not_exact(
    fleet: Fleets, leave: Callable[[Fleet], Awaitable[None]]
) -> None:
    mixed = await fleet("f1", "f2")
    await leave(mixed)
    assert await mixed.waiting() == 1
    await mixed.others[0].taker.make(mixed.id)
    await mixed.ends()
    assert await mixed.starts() == [("1", None), ("2", "equivalent")]


async def test_who_died_with_it_is_not_waited_for(fleet: Fleets) -> None:
    mixed = await fleet("f1", "f1", "f2")
    await mixed.others[0].die()
    await mixed.kill_first()
    assert len(await mixed.first.pools.list()) == 3, "the registry does not know yet"
    assert await mixed.waiting() == 1


@pytest.mark.parametrize(
    ("fingerprints", "continued"), [(("f1", "f1", "f1"), "exact"), (("f1", "f1", "f2"), "equivalent"), (("", "", "f2"), "exact")]
)
async def test_nobody_is_preferred_where_it_makes_no_difference(fleet: Fleets, fingerprints: tuple[str, ...], continued: Continued) -> None:
    alike = await fleet(*fingerprints, continued=continued)
    await alike.kill_first()
    assert await alike.waiting() == 1
    await alike.others[0].taker.make(alike.id)
    await alike.ends()


async def test_a_job_of_which_nothing_is_seen_yet_is_anybodys(backend: JobBackend, new_spec: Specs, new_bench: Benches) -> None:
    spec, first, other = (
        await submitted(backend, new_spec),
        new_bench(stepwise(), name="1"),
        new_bench(Counting(fingerprint="f2"), name="2"),
    )
    await first.report()
    await other.report()
    assert await backend.claims.claim(spec.id, "1")
    await until(lambda: backend.queue.reap(other.offers.offer), "the lease runs out")
    assert await backend.queue.length("gpu.generate") == 1


async def test_what_goes_wrong_with_an_offer_costs_nothing(fleet: Fleets, capsys: pytest.CaptureFixture[str]) -> None:
    mixed = await fleet("f1", "f1", "f2")
    await mixed.backend.redis.hset("workers", "one of another version", "{}")
    await mixed.kill_first()
    assert "ValidationError" in "".join(capsys.readouterr())
    assert await mixed.waiting() == 1
    await mixed.others[0].taker.make(mixed.id)
    await mixed.ends()
    assert await mixed.starts() == [("1", None), ("2", "exact")]


async def test_one_that_is_full_takes_an_offer_when_a_place_is_free(fleet: Fleets, backend: JobBackend, new_spec: Specs) -> None:
    mixed = await fleet("f1", "f1", "f2")
    same = mixed.others[0]
    same.generator.go = asyncio.Semaphore(0)
    busy = [asyncio.create_task(same.taker.make((await submitted(backend, new_spec)).id)) for _ in range(PLACES)]
    await until(lambda: len(same.leases) == PLACES, "all places are taken")
    await mixed.kill_first()
    assert await mixed.starts() == [("1", None)]
    release(same.generator, len(WORDS) * (PLACES + 1))
    await asyncio.gather(*busy)
    await mixed.ends()
    assert await mixed.starts() == [("1", None), ("2", "exact")]


async def test_an_offer_that_nobody_takes_in_time_is_for_all_whatever_message_of_it_is_left(
    fleet: Fleets, backend: JobBackend, new_spec: Specs
) -> None:
    mixed = await fleet("f1", "f1", "f2")
    same = mixed.others[0]
    same.generator.go = asyncio.Semaphore(0)
    busy = [asyncio.create_task(same.taker.make((await submitted(backend, new_spec)).id)) for _ in range(PLACES)]
    await until(lambda: len(same.leases) == PLACES, "all places are taken")
    await backend.broker.hset("dramatiq:gpu.generate.msgs", mixed.id, "fetched by the dead one and never acknowledged")
    await mixed.kill_first()
    await backend.redis.zadd("leases", {mixed.id: 1})  # the pick-up time is over
    assert await backend.queue.reap(same.offers.offer) == []
    assert await mixed.waiting() == 1
    await mixed.others[1].taker.make(mixed.id)
    release(same.generator, len(WORDS) * (PLACES + 1))
    await asyncio.gather(*busy)
    await mixed.ends()
    assert await mixed.starts() == [("1", None), ("3", "equivalent")]


async def test_offers_are_heard_for_models_that_are_loaded_later(fleet: Fleets) -> None:
    mixed = await fleet("f1", "f2", "f2")
    later = mixed.others[0]
    later.generator.numerics = mixed.first.generator.numerics
    await later.report()
    await mixed.kill_first()
    await mixed.ends()
    assert await mixed.starts() == [("1", None), ("2", "exact")]
