import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest

from core.errors import ModelNotFound, UpstreamError, UpstreamRefused
from core.models.events import Progress
from core.models.pulls import Origin, PullTask
from core.settings import Settings
from pipelines.pulls.puller import Puller
from tests.hub import HubMirror
from tests.ollama import LAYER_BYTES, Ollama
from tests.polling import until
from tests.ports import free_port

NAME = "llama3.3:70b"


@pytest.fixture
async def ollama() -> AsyncIterator[Ollama]:
    async with Ollama(library={NAME: 2, "somebody/model": 1}).serving() as serving:
        yield serving


@pytest.fixture
async def puller(tmp_path: Path) -> AsyncIterator[Puller]:
    async with HubMirror().serving() as mirror:
        made = Puller(Settings(data_dir=tmp_path, hf_endpoint=mirror.url))
        yield made
        await made.close()


def task(ollama: Ollama, name: str = NAME, source: Origin | None = Origin.OLLAMA) -> PullTask:
    return PullTask(name=name, source=source, upstream=ollama.url)


async def test_its_progress_is_ours(puller: Puller, ollama: Ollama) -> None:
    steps = [step async for step in puller.pull(task(ollama))]
    assert steps[0] == Progress(status="pulling manifest")
    last = {step.digest: (step.completed, step.total) for step in steps if step.digest}
    assert last == {f"sha256:{NAME}-{number}": (LAYER_BYTES, LAYER_BYTES) for number in range(2)}
    assert ollama.models == [NAME]


async def test_a_model_that_it_does_not_know_is_told_before_anything_is_given(puller: Puller, ollama: Ollama) -> None:
    with pytest.raises(ModelNotFound, match="file does not exist"):
        await anext(puller.pull(task(ollama, "nope")))


async def test_a_failure_in_the_middle_has_its_words(puller: Puller, ollama: Ollama) -> None:
    ollama.fails_at = f"sha256:{NAME}-1"
    with pytest.raises(UpstreamError, match="max retries exceeded"):
        _ = [step async for step in puller.pull(task(ollama))]


async def test_stopping_closes_the_connection_and_the_next_pull_goes_on(puller: Puller, ollama: Ollama) -> None:
    ollama.go = asyncio.Semaphore(0)
    async with aclosing(puller.pull(task(ollama))) as steps:
        async for step in steps:
            if step.digest:
                break
    await until(lambda: ollama.left, "Ollama notices")
    ollama.go = None
    again = [step async for step in puller.pull(task(ollama))]
    assert next(step.completed for step in again if step.digest) == LAYER_BYTES // 2


async def test_one_that_is_away_is_named(puller: Puller) -> None:
    place = f"127.0.0.1:{free_port()}"
    away = PullTask(name=NAME, source=Origin.OLLAMA, upstream=f"http://ann:s3cret@{place}")
    with pytest.raises(UpstreamRefused, match=f"http://{place}") as refused:
        await anext(puller.pull(away))
    assert "s3cret" not in refused.value.detail


async def test_a_name_with_a_slash_that_hugging_face_does_not_know_is_ollamas(puller: Puller, ollama: Ollama) -> None:
    steps = [step async for step in puller.pull(task(ollama, "somebody/model", None))]
    assert steps
    assert ollama.models == ["somebody/model"]
    with pytest.raises(ModelNotFound):
        await anext(puller.pull(PullTask(name="somebody/model")))


async def test_a_name_that_neither_knows_is_told_of_both(puller: Puller, ollama: Ollama) -> None:
    with pytest.raises(ModelNotFound, match=r"There is no model 'some/thing' at .*The Ollama at .* finds no model 'some/thing'"):
        await anext(puller.pull(task(ollama, "some/thing", None)))


async def test_where_hugging_face_cannot_be_reached_ollama_is_asked(tmp_path: Path, puller: Puller, ollama: Ollama) -> None:
    assert puller  # while its mirror serves, the library may ask
    offline = Puller(Settings(data_dir=tmp_path, hf_endpoint=f"http://127.0.0.1:{free_port()}"))
    assert [step async for step in offline.pull(task(ollama, "somebody/model", None))]
    with pytest.raises(UpstreamRefused, match=r"cannot be reached.*The Ollama at .* finds no model 'some/thing'"):
        await anext(offline.pull(task(ollama, "some/thing", None)))
    await offline.close()
