"""Who counts as dead, and who only could not be heard."""

import time
from collections.abc import Callable

import pytest

from core.models.events import Delta
from core.models.jobs import JobSpec, JobStatus
from core.redis.keys import SUSPECTS, in_hand_key
from core.redis.workers import WorkerRegistry
from tests.job_backend import QUEUE, JobBackend, new_reply

Specs = Callable[[], JobSpec]


async def test_a_reaper_that_could_not_look_waits_a_lease_longer(
    backend: JobBackend, new_spec: Specs, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, clock = new_spec(), [1_000.0]
    monkeypatch.setattr("core.jobs.reaper.time.monotonic", lambda: clock[0])
    await backend.given(spec, "one")
    await backend.live("one", lasts_ms=0)
    while not await backend.reaper.reap():  # for as long as the tests' Redis is young
        clock[0] += 0.5
    await backend.give(spec, "two")
    await backend.live("two", lasts_ms=0)
    clock[0] += 10  # it could not look
    assert await backend.reaper.reap() == []
    clock[0] += 0.1
    assert await backend.reaper.reap() == []
    clock[0] += 0.5
    assert await backend.reaper.reap() == [spec.id]


async def test_after_a_restart_of_redis_nobody_is_dead_before_they_could_show_that_they_live(
    backend: JobBackend, new_spec: Specs, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def young(_: WorkerRegistry) -> int:
        return 0

    monkeypatch.setattr(WorkerRegistry, "uptime_s", young)
    await backend.given(new_spec(), "one")
    await backend.live("one", lasts_ms=0)
    assert await backend.reaper.reap() == []
    await backend.bury("one")


async def test_the_redis_that_has_the_registry_says_how_young_it_is(backend: JobBackend) -> None:
    assert await backend.workers.uptime_s() in {(await node.info("server"))["uptime_in_seconds"] for node in await backend.nodes()}


async def test_one_whose_process_is_gone_from_this_machine_is_not_waited_for(backend: JobBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = new_reply("relay_reply")
    claim = await backend.given(spec, "one")
    await backend.claims.append(claim, 1, [Delta(text="a")])
    backend.reaper._looked_at = time.monotonic()
    await backend.live("one", lasts_ms=0, queues=(spec.queue,))
    assert await backend.reaper.reap() == []
    monkeypatch.setattr("core.jobs.reaper.socket.gethostname", lambda: "elsewhere")
    monkeypatch.setattr("core.jobs.reaper.os.kill", _no_such_process)
    assert await backend.reaper.reap() == [spec.id]


def _no_such_process(pid: int, number: int) -> None:
    raise ProcessLookupError(pid, number)


async def test_suspects_wait_behind_one_another_and_whoever_made_progress_is_none(backend: JobBackend) -> None:
    specs = {name: new_reply() for name in ("quiet", "silent", "busy")}
    for spec in specs.values():
        await backend.queue.submit(spec)
    for worker in ("one", "two"):
        await backend.queue.fetch(QUEUE, worker, 9)
        for name, spec in specs.items():
            claim = await backend.claims.claim(spec.id, worker)
            assert claim
            if name == "busy":
                await backend.claims.append(claim, 1, [Delta(text=worker)])
        await backend.bury(worker)
    assert await backend.queue.waiting(QUEUE, 9) == [specs["busy"].id]
    suspects = await backend.queue.waiting(QUEUE + SUSPECTS, 9)
    assert sorted(suspects) == sorted([specs["quiet"].id, specs["silent"].id])
    await backend.queue.fetch(QUEUE + SUSPECTS, "three", 1)
    assert await backend.claims.claim(suspects[0], "three")
    await backend.bury("three", (QUEUE + SUSPECTS,))
    assert await backend.queue.waiting(QUEUE + SUSPECTS, 9) == [suspects[1], suspects[0]]


async def test_what_is_left_of_a_dead_worker_is_nothing(backend: JobBackend, new_spec: Specs) -> None:
    await backend.given(new_spec(), "one")
    await backend.bury("one")
    assert not await backend.redis.exists(in_hand_key(QUEUE, "one"))
    assert [key for key in await backend.redis.keys("*") if b"workers" in key] == []


async def test_a_job_that_its_user_has_stopped_ends_with_its_worker(backend: JobBackend) -> None:
    spec = new_reply()
    await backend.given(spec, "one")
    assert await backend.claims.cancel(spec.id) == "running"
    await backend.bury("one")
    assert await backend.claims.state(spec.id) == JobStatus.CANCELLED
    assert await backend.queue.unfinished(QUEUE) == []
