"""What a worker takes, and how it takes it."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest
from dramatiq import Broker, Message, MessageProxy
from dramatiq.middleware import Middleware, SkipMessage

from core.jobs.queue import wake_topic
from core.redis.keys import in_hand_key, messages_key, waiting_key
from tests.job_backend import QUEUE, JobBackend
from tests.polling import until
from tests.workers.taking import BULK, OTHER, PLACES, Maker, enqueue
from workers import fetching
from workers.fetching import Fetching


async def kept(backend: JobBackend) -> tuple[int, int, int]:
    """How many messages wait, how many the worker has in hand, and how many Redis keeps in all."""
    redis = backend.redis
    return await redis.llen(waiting_key(QUEUE)), await redis.scard(in_hand_key(QUEUE, "one")), await redis.hlen(messages_key(QUEUE))


async def nothing_is_kept(backend: JobBackend) -> None:
    async def empty() -> bool:
        return await kept(backend) == (0, 0, 0)

    await until(empty, "Redis keeps nothing of jobs that have ended")


async def test_what_has_ended_is_acknowledged_and_makes_place_for_what_waits(
    backend: JobBackend, maker: Maker, loop: Callable[..., Awaitable[Fetching]]
) -> None:
    await loop()
    await enqueue(backend, "a", "b", "c")
    await until(lambda: len(maker.begun) == PLACES, "all places are taken")
    assert await kept(backend) == (1, 2, 3)
    maker.go.release()
    await until(lambda: len(maker.begun) == 3, "the third is begun")
    for _ in range(PLACES):
        maker.go.release()
    await nothing_is_kept(backend)
    assert (maker.begun, maker.most) == (["a", "b", "c"], PLACES)


async def test_one_kinds_jobs_do_not_wait_for_anothers(backend: JobBackend, maker: Maker, loop: Callable[..., Awaitable[Fetching]]) -> None:
    await loop()
    await enqueue(backend, "a", "b", "c")
    await enqueue(backend, "d", queue=OTHER)
    await until(lambda: sorted(maker.begun) == ["a", "b", "d"], "each kind has its places")


async def test_bulk_leaves_places_to_what_is_urgent(backend: JobBackend, maker: Maker, loop: Callable[..., Awaitable[Fetching]]) -> None:
    await loop()
    await enqueue(backend, "a", "b", queue=BULK)
    await until(lambda: maker.begun == ["a"], "the first is begun")
    await enqueue(backend, "c", queue=OTHER)
    await until(lambda: maker.begun == ["a", "c"], "what is urgent has a place at once")
    maker.go.release()
    maker.go.release()
    await until(lambda: maker.begun == ["a", "c", "b"], "then the second of bulk has one")


async def test_what_was_enqueued_while_nobody_listened_is_found(
    backend: JobBackend, maker: Maker, loop: Callable[..., Awaitable[Fetching]]
) -> None:
    await enqueue(backend, "a")
    await loop()
    await until(lambda: maker.begun == ["a"], "it is begun")


async def test_what_is_told_while_an_answer_is_on_its_way_is_not_forgotten(
    backend: JobBackend, maker: Maker, loop: Callable[..., Awaitable[Fetching]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "IDLE_S", 60.0)
    told, fetch = backend.log.hear(wake_topic(QUEUE)), backend.queue.fetch
    assert await anext(told) is None

    async def fetch_and_be_late(queue: str, worker_id: str, places: int, done: Sequence[str] = ()) -> list[Message[Any]]:
        fetched = await fetch(queue, worker_id, places, done)
        if queue == QUEUE and not maker.begun and await backend.claims.state("a") is None:
            await enqueue(backend, "a")
            assert await anext(told) == QUEUE.encode()
            await backend.queue.lengths([QUEUE])  # meanwhile the loop hears it, too
        return fetched

    monkeypatch.setattr(backend.queue, "fetch", fetch_and_be_late)
    await loop()
    await until(lambda: maker.begun == ["a"], "it is begun", timeout_s=10)


async def test_after_an_outage_no_more_are_begun_than_there_are_places(
    backend: JobBackend, maker: Maker, loop: Callable[..., Awaitable[Fetching]]
) -> None:
    await loop()
    await enqueue(backend, *"abcdef")
    await until(lambda: len(maker.begun) == PLACES, "all places are taken")
    for kind in ("normal", "pubsub"):
        for node in await backend.nodes():
            await node.client_kill_filter(_type=kind)
    for _ in "abcdef":
        maker.go.release()
    await nothing_is_kept(backend)
    assert (sorted(maker.begun), maker.most) == (list("abcdef"), PLACES)


async def test_a_bug_is_logged_keeps_no_place_and_the_job_comes_again(
    backend: JobBackend, maker: Maker, loop: Callable[..., Awaitable[Fetching]], capsys: pytest.CaptureFixture[str]
) -> None:
    await loop()
    for _ in range(3):
        maker.go.release()
    await enqueue(backend, "bug", "a")
    await until(lambda: maker.begun.count("bug") > 1, "it is tried again")
    assert "a" in maker.begun
    assert "RuntimeError" in "".join(capsys.readouterr())


async def test_a_message_whose_fetching_was_answered_to_nobody_is_put_back(
    backend: JobBackend, maker: Maker, loop: Callable[..., Awaitable[Fetching]]
) -> None:
    await enqueue(backend, "lost")
    await backend.queue.fetch(QUEUE, "one", 1)
    await loop()
    await until(lambda: maker.begun == ["lost"], "it is begun after all", timeout_s=5)


async def test_a_job_that_is_not_ours_any_more_is_not_acknowledged(
    backend: JobBackend, maker: Maker, loop: Callable[..., Awaitable[Fetching]]
) -> None:
    maker.counts_no_more = False
    maker.go.release()
    await loop()
    await enqueue(backend, "a")
    await until(lambda: maker.begun == ["a", "a"], "whoever claims it is given it again")


async def test_who_drains_takes_nothing_more_and_says_whether_something_is_left_to_be_put_back(
    backend: JobBackend, maker: Maker, loop: Callable[..., Awaitable[Fetching]]
) -> None:
    draining = await loop()
    await enqueue(backend, "a")
    await until(lambda: maker.begun == ["a"], "one runs")
    draining.draining = True
    await enqueue(backend, "b")
    assert not await draining.leave()
    assert await kept(backend) == (1, 1, 2)
    await backend.bury("one")
    assert await kept(backend) == (2, 0, 2)
    assert await backend.queue.waiting(QUEUE, 2) == ["a", "b"]
    maker.go.release()
    await until(lambda: not maker.running, "what ran has ended")
    assert await draining.leave()


async def test_who_leaves_knows_of_what_was_never_heard_of(backend: JobBackend, loop: Callable[..., Awaitable[Fetching]]) -> None:
    leaving = await loop()
    leaving.draining = True
    assert await leaving.leave()
    await enqueue(backend, "lost")
    await backend.queue.fetch(QUEUE, "one", 1)
    assert not await leaving.leave()


class Noting(Middleware):
    """Dramatiq's own kind of extension: it notes what passes, and skips one job."""

    def __init__(self) -> None:
        self.passed: list[tuple[str, str]] = []

    def before_process_message(self, broker: Broker, message: MessageProxy) -> None:
        del broker
        self.passed.append(("before", message.args[0]))
        if message.args[0] == "skipped":
            raise SkipMessage(message.args[0])

    def after_process_message(self, broker: Broker, message: MessageProxy, *, result: object = None, exception: object = None) -> None:
        del broker, result
        self.passed.append(("after" if exception is None else "failed", message.args[0]))

    def after_skip_message(self, broker: Broker, message: MessageProxy) -> None:
        del broker
        self.passed.append(("skipped", message.args[0]))


async def test_dramatiqs_middleware_sees_every_message(backend: JobBackend, maker: Maker, loop: Callable[..., Awaitable[Fetching]]) -> None:
    noting = Noting()
    maker.go.release()
    await loop(noting)
    await enqueue(backend, "a", "skipped")
    await nothing_is_kept(backend)
    assert maker.begun == ["a"]
    assert sorted(noting.passed) == [("after", "a"), ("before", "a"), ("before", "skipped"), ("skipped", "skipped")]
