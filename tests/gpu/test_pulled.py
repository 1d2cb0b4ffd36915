"""A model that is pulled while a GPU worker runs is answered for without a restart."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from transformers import LlamaConfig

from core.errors import ModelNotFound, Unavailable
from core.models.completions import Usage
from core.models.events import ChoiceFinished, Delta
from core.models.generations import GenerationSpec
from core.models.pulls import PullTask
from core.settings import Settings
from gpu.engine import Engine, load
from gpu.sources import ModelSource, find_pulled
from pipelines.chat import prompt_of
from pipelines.pulls.puller import Puller
from tests.gpu import folders
from tests.hub import HubMirror
from workers.runtimes.local import LocalModels

LLAMA = "tiny/llama"
SHAPE: dict[str, Any] = {
    "vocab_size": folders.VOCABULARY,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
}


def repository(folder: Path) -> dict[str, bytes]:
    """A small Llama as it would stand on a hub."""
    folders.write(folder, LlamaConfig(**SHAPE))
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
async def mirror(tmp_path: Path) -> AsyncIterator[HubMirror]:
    files = await asyncio.to_thread(repository, tmp_path / "there")
    broken = {**files, "config.json": b'{"model_type":"nobody knows"}'}
    async with HubMirror({LLAMA: files, "tiny/broken": broken}).serving() as serving:
        yield serving


@pytest.fixture
def settings(tmp_path: Path, mirror: HubMirror) -> Settings:
    return Settings(data_dir=tmp_path / "data", hf_endpoint=mirror.url, device="cpu")


@pytest.fixture
async def local(settings: Settings) -> AsyncIterator[LocalModels]:
    """A GPU worker's models, of which it has none at its start."""
    loaded: list[Engine] = []

    def opened(source: ModelSource) -> Engine:
        loaded.append(load(source, settings, threads=1, max_batch=2))
        return loaded[-1]

    yield LocalModels({}, look=lambda: find_pulled(settings), load=opened)
    for engine in loaded:
        await asyncio.to_thread(engine.close)


async def bring(settings: Settings, name: str) -> None:
    puller = Puller(settings)
    async for _ in puller.pull(PullTask(name=name)):
        pass
    await puller.close()


async def answer(local: LocalModels, model: str) -> list[Delta | ChoiceFinished | Usage]:
    body = msgspec.json.encode({"model": model, "messages": [{"role": "user", "content": "the river"}], "max_tokens": 8})
    spec = GenerationSpec(id="1", user_id="u", model=model, seed=1, created_at=1)
    return [part async for part in local.generate(prompt_of(spec, body))]


async def test_a_pulled_llama_is_listed_and_chats(settings: Settings, local: LocalModels) -> None:
    assert await local.look() == []
    with pytest.raises(ModelNotFound):
        await answer(local, LLAMA)
    await bring(settings, LLAMA)
    (listed,) = await local.look()
    assert (listed.id, listed.name, listed.context_length) == (LLAMA, "Llama", None)
    assert local.numerics() == {}
    parts = await answer(local, LLAMA)
    assert "".join(part.text for part in parts if isinstance(part, Delta))
    assert isinstance(parts[-1], Usage)
    assert parts[-1].completion_tokens > 0
    (loaded,) = await local.look()
    assert (loaded.id, loaded.context_length) == (LLAMA, 256)
    assert local.numerics() == {LLAMA: await local.prepare(LLAMA)}


async def test_a_pulled_model_that_cannot_be_loaded_says_why(settings: Settings, local: LocalModels) -> None:
    await bring(settings, "tiny/broken")
    assert [model.id for model in await local.look()] == ["tiny/broken"]
    with pytest.raises(Unavailable, match="cannot be loaded"):
        await answer(local, "tiny/broken")
