"""What fails alone, and what takes the whole engine with it."""

import asyncio
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
import torch

from core.errors import EngineFailed, PenstockError, SettingsError
from core.models.completions import CompletionRequest
from core.models.embeddings import EmbeddingRequest
from core.models.generations import GenerationSpec
from core.models.pools import Pool
from gpu.batch_queue import BatchQueue
from gpu.bert import BertEncoder, _Work
from gpu.device_lock import DeviceLock
from gpu.embedder import Embedder
from gpu.engine import Engine, load
from gpu.failures import MOST_BARREN, is_fatal
from gpu.forward import Batch, Forward
from gpu.runner import Runner
from gpu.scheduler import Scheduler
from gpu.sequence import Sequence
from gpu.sources import embedder as embedding_model
from pipelines.chat import prompt_of
from pipelines.embedding import EmbeddingTask
from tests.gpu.asking import Answered, Started, ask
from workers.runtimes.pools import work_of

SEA = "Write a short poem about the sea."
LOST = "CUDA error: an illegal memory access was encountered"


class Broken:
    """An engine of its own, and what it said of its failure."""

    def __init__(self, started: Started) -> None:
        self.reasons: list[str] = []
        self.engine: Engine = load(started.source, started.settings, threads=1, max_batch=8, on_failure=self.reasons.append)

    async def all_fail(self, count: int) -> list[Exception]:
        """What so many requests at once end with."""
        ended = await asyncio.gather(
            *(ask(self.engine, f"{SEA} {number}", max_tokens=9) for number in range(count)), return_exceptions=True
        )
        errors = [error for error in ended if isinstance(error, Exception)]
        assert len(errors) == count
        return errors


@pytest.fixture
def broken(first_start: Started) -> Iterator[Broken]:
    made = Broken(first_start)
    yield made
    made.engine.close()


def raising(error: Exception) -> Any:
    def step(*_: object) -> None:
        raise error

    return step


async def test_an_engine_whose_every_step_raises_ends_all_alike_and_says_so_once(broken: Broken, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Runner, "run", raising(ZeroDivisionError("every step")))
    monkeypatch.setattr(Runner, "try_out", raising(ZeroDivisionError("every step")))
    errors = await broken.all_fail(200)
    assert {type(error) for error in errors} == {EngineFailed}
    assert broken.reasons == ["smollm2-135m-instruct: ZeroDivisionError: every step"]
    monkeypatch.undo()
    with pytest.raises(EngineFailed):
        await ask(broken.engine, SEA)


async def test_a_device_that_is_lost_is_not_asked_again(broken: Broken, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def lost(self: Runner, works: list[object]) -> None:
        del self
        asked.append(len(works))
        raise torch.AcceleratorError(LOST)

    monkeypatch.setattr(Runner, "run", lost)
    assert {type(error) for error in await broken.all_fail(8)} == {EngineFailed}
    assert len(asked) == 1
    assert broken.reasons == [f"smollm2-135m-instruct: AcceleratorError: {LOST}"]


async def test_an_answer_that_has_begun_ends_so_too(broken: Broken, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Runner.run

    def late(self: Runner, works: list[Any]) -> Any:
        if any(work.sequence.position == 5 for work in works):
            raise RuntimeError(LOST)
        return run(self, works)

    monkeypatch.setattr(Runner, "run", late)
    assert {type(error) for error in await broken.all_fail(3)} == {EngineFailed}


@pytest.mark.parametrize("where", [(Scheduler, "plan"), (Scheduler, "observe"), (Runner, "prepare")])
async def test_its_thread_never_ends_in_silence(broken: Broken, monkeypatch: pytest.MonkeyPatch, where: tuple[type, str]) -> None:
    monkeypatch.setattr(*where, raising(LookupError("unforeseen")))
    assert {type(error) for error in await broken.all_fail(12)} == {EngineFailed}
    assert broken.reasons == ["smollm2-135m-instruct: LookupError: unforeseen"]


async def test_a_sequence_that_the_scheduler_has_lost_hears_of_it(broken: Broken, monkeypatch: pytest.MonkeyPatch) -> None:
    def losing(self: Scheduler) -> None:
        self.waiting.clear()
        raise LookupError

    monkeypatch.setattr(Scheduler, "plan", losing)
    assert {type(error) for error in await broken.all_fail(3)} == {EngineFailed}


async def test_a_hook_that_raises_hides_nothing(first_start: Started, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = await asyncio.to_thread(load, first_start.source, first_start.settings, threads=1, on_failure=raising(OSError()))
    monkeypatch.setattr(Runner, "run", raising(torch.AcceleratorError(LOST)))
    with pytest.raises(EngineFailed):
        await ask(engine, SEA)
    with pytest.raises(EngineFailed):
        await ask(engine, SEA)
    await asyncio.to_thread(engine.close)


async def test_requests_that_are_bad_all_together_fail_alone(broken: Broken, monkeypatch: pytest.MonkeyPatch) -> None:
    accept = Sequence.accept

    def breaking(self: Sequence, *given: Any) -> None:
        if self.sampling.seed == 666:
            raise ZeroDivisionError
        accept(self, *given)

    monkeypatch.setattr(Sequence, "accept", breaking)
    for number in range(MOST_BARREN - 1):
        choices = (ask(broken.engine, SEA, name=str(number), choice=choice, seed=666) for choice in range(3))
        bad = await asyncio.gather(*choices, return_exceptions=True)
        assert {type(error) for error in bad} == {PenstockError}
    assert isinstance(await ask(broken.engine, SEA, max_tokens=3), Answered)
    with pytest.raises(PenstockError, match="failed on this request"):
        await ask(broken.engine, SEA, name="another", seed=666)
    assert broken.reasons == []


async def test_many_failures_without_a_success_are_the_engines(broken: Broken, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Sequence, "accept", raising(ZeroDivisionError()))
    kinds = []
    for number in range(MOST_BARREN):
        with pytest.raises(PenstockError) as raised:
            await ask(broken.engine, SEA, name=str(number))
        kinds.append(type(raised.value))
    assert kinds == [PenstockError] * (MOST_BARREN - 1) + [EngineFailed]
    assert len(broken.reasons) == 1


async def test_logits_that_are_not_finite_for_anybody_are_a_failure(broken: Broken, monkeypatch: pytest.MonkeyPatch) -> None:
    forward: Any = broken.engine._loop._runner.forward
    call = type(forward).__call__

    def without_a_number(self: Forward, batch: Batch) -> Any:
        return call(self, batch) * float("nan")

    monkeypatch.setattr(type(forward), "__call__", without_a_number)
    assert {type(error) for error in await broken.all_fail(4)} == {EngineFailed}
    assert len(broken.reasons) == 1


@pytest.fixture
def embedder(first_start: Started) -> Iterator[tuple[Embedder, list[str]]]:
    reasons: list[str] = []
    source = embedding_model()
    assert source
    made = Embedder(source, first_start.settings, device_lock=DeviceLock(), threads=1, on_failure=reasons.append)
    yield made, reasons
    made.close()


@pytest.mark.parametrize("error", [ZeroDivisionError("every text"), RuntimeError(LOST)], ids=["any error", "a lost device"])
async def test_an_embedder_that_embeds_nothing_any_more_ends_all_alike(
    embedder: tuple[Embedder, list[str]], monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    made, reasons = embedder
    await made.embed(["it works"])
    monkeypatch.setattr(_Work, "compute", raising(error))
    asked = [made.embed([f"{number} {SEA}"] * (1 if number % 2 else 90)) for number in range(20)]
    ended = await asyncio.gather(*asked, return_exceptions=True)
    assert {type(end) for end in ended} == {EngineFailed}
    assert reasons == [f"all-MiniLM-L6-v2: {type(error).__name__}: {error}"]
    monkeypatch.undo()
    with pytest.raises(EngineFailed):
        await made.embed([SEA])


async def test_an_embedders_thread_never_ends_in_silence(embedder: tuple[Embedder, list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    made, reasons = embedder
    monkeypatch.setattr(BatchQueue, "take", raising(LookupError("unforeseen")))
    ended = await asyncio.gather(*(made.embed([SEA]) for _ in range(5)), return_exceptions=True)
    assert {type(end) for end in ended} == {EngineFailed}
    assert reasons == ["all-MiniLM-L6-v2: LookupError: unforeseen"]


async def test_an_encoder_that_cannot_be_loaded_fails_its_requests_and_is_tried_again(
    embedder: tuple[Embedder, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    made, reasons = embedder
    monkeypatch.setattr(BertEncoder, "__init__", raising(SettingsError("no such model")))
    with pytest.raises(PenstockError, match="failed on this request"):
        await made.embed([SEA])
    monkeypatch.undo()
    assert (await made.embed([SEA]))[1] > 0
    assert reasons == []


async def test_a_failed_embedder_or_engine_lets_the_other_have_the_device(first_start: Started, monkeypatch: pytest.MonkeyPatch) -> None:
    device_lock, source = DeviceLock(patience_s=60), embedding_model()
    assert source
    engine = await asyncio.to_thread(load, first_start.source, first_start.settings, threads=1, device_lock=device_lock)
    made = await asyncio.to_thread(Embedder, source, first_start.settings, device_lock=device_lock, threads=1)
    monkeypatch.setattr(Runner, "run", raising(torch.AcceleratorError(LOST)))
    with pytest.raises(EngineFailed):
        await ask(engine, SEA)
    assert (await made.embed([f"{SEA} {number}" for number in range(90)]))[1] > 0
    await asyncio.to_thread(engine.close)
    await asyncio.to_thread(made.close)


async def test_a_workers_models_and_embedder_tell_it_through_one_hook(first_start: Started, monkeypatch: pytest.MonkeyPatch) -> None:
    reasons: list[str] = []
    work = await asyncio.to_thread(work_of, Pool.GPU, first_start.settings, reasons.append)
    monkeypatch.setattr(Runner, "run", raising(torch.AcceleratorError(LOST)))
    monkeypatch.setattr(_Work, "compute", raising(torch.AcceleratorError(LOST)))
    assert work.generator
    assert work.embedder
    asked = CompletionRequest(model=first_start.source.id, messages=[{"role": "user", "content": SEA}], n=3)
    with pytest.raises(EngineFailed):
        _ = [part async for part in work.generator.generate(prompt_of(job(asked.model), msgspec.json.encode(asked)))]
    request = EmbeddingRequest(model="all-MiniLM-L6-v2", input=SEA)
    with pytest.raises(EngineFailed):
        await work.embedder.embed(EmbeddingTask(served=request.model, body=msgspec.json.encode(request), request=request))
    assert reasons == [f"{name}: AcceleratorError: {LOST}" for name in (first_start.source.id, "all-MiniLM-L6-v2")]


def job(model: str) -> GenerationSpec:
    return GenerationSpec(id="1", user_id="u", model=model, seed=1, created_at=1)


@pytest.mark.parametrize(
    ("error", "fatal"),
    [
        (torch.AcceleratorError(LOST), True),
        (torch.AcceleratorError("CUDA error: device-side assert triggered"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling cublasGemmEx"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"), True),
        (torch.AcceleratorError("CUDA error: out of memory"), False),
        (torch.AcceleratorError("CUDA error: invalid configuration argument"), False),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate(handle)"), False),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB"), False),
        (MemoryError(), False),
        (RuntimeError("The size of tensor a must match the size of tensor b"), False),
        (ValueError("CUDA error"), False),
    ],
)
def test_which_errors_are_a_devices(error: Exception, *, fatal: bool) -> None:
    assert is_fatal(error) is fatal
