"""Jobs on which workers have died, and how a worker takes them."""

from collections.abc import Awaitable, Callable

from core.redis.keys import SUSPECTS
from tests.job_backend import QUEUE, JobBackend
from tests.polling import until
from tests.workers.taking import OTHER, Maker, enqueue, named
from workers.fetching import Fetching


async def test_a_suspect_runs_alone_and_what_comes_meanwhile_waits(
    backend: JobBackend, maker: Maker, loop: Callable[..., Awaitable[Fetching]]
) -> None:
    await loop()
    await enqueue(backend, "a")
    await until(lambda: maker.begun == ["a"], "one runs")
    suspect = named("suspect")
    await backend.queue.submit(suspect)
    await until(lambda: len(maker.begun) == 2, "it runs beside the other")
    await backend.queue.put_back(suspect, QUEUE, onto=QUEUE + SUSPECTS, worker_id="one")
    maker.go.release()
    maker.go.release()
    await until(lambda: len(maker.begun) == 3, "it is tried again")
    assert (maker.begun[-1], maker.running) == ("suspect", 1)
    await enqueue(backend, "b")
    await enqueue(backend, "c", queue=OTHER)
    await backend.queue.lengths([QUEUE])
    assert maker.begun[3:] == []
    maker.go.release()
    await until(lambda: sorted(maker.begun[3:]) == ["b", "c"], "the others go on")


async def test_a_suspect_is_given_what_it_waits_for_and_nothing_else(
    backend: JobBackend, maker: Maker, loop: Callable[..., Awaitable[Fetching]]
) -> None:
    maker.waits_for["suspect"] = "wanted", "embed_texts"
    for job_id, queue in (("suspect", QUEUE), ("wanted", OTHER)):  # this one, too, has seen workers die
        await backend.queue.submit(named(job_id, queue))
        await backend.queue.fetch(queue, "dead", 1)
        await backend.queue.put_back(named(job_id, queue), queue, onto=queue + SUSPECTS, worker_id="dead")
    await enqueue(backend, "other")
    await loop()
    await until(lambda: len(maker.begun) == 2, "what it waits for is begun")
    assert sorted(maker.begun) == ["suspect", "wanted"]
    maker.go.release()
    maker.go.release()
    await until(lambda: maker.begun[2:] == ["other"], "the other goes on")
    assert sorted(maker.ended) == ["suspect", "wanted"]


async def test_what_runs_is_given_what_it_waits_for_while_a_suspect_wants_to_be_alone(
    backend: JobBackend, maker: Maker, loop: Callable[..., Awaitable[Fetching]]
) -> None:
    maker.waits_for["a"] = "wanted", "embed_texts"
    await loop()
    await enqueue(backend, "a")
    await until(lambda: maker.begun == ["a"], "one runs")
    await backend.queue.submit(named("suspect"))
    await until(lambda: len(maker.begun) == 2, "it runs beside the other")
    await backend.queue.put_back(named("suspect"), QUEUE, onto=QUEUE + SUSPECTS, worker_id="one")
    await enqueue(backend, "wanted", queue=OTHER)
    await enqueue(backend, "b")
    for _ in range(3):
        maker.go.release()
    await until(lambda: maker.begun[2:] == ["wanted", "suspect"], "the suspect is tried again when both have ended")
    maker.go.release()
    await until(lambda: maker.begun[4:] == ["b"], "the other goes on")
