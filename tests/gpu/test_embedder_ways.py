"""In which numbers an embedder computes, and how its worker tells."""

import asyncio

import pytest

from core.errors import SettingsError
from core.models.embeddings import EmbeddingDtype
from gpu.kernels import Kernels, KernelsMissing, Way
from tests.gpu.asking import Started
from tests.gpu.embedders import loaded_embedder
from workers.runtimes.local import LocalModels
from workers.runtimes.local_embedder import LocalEmbedder
from workers.runtimes.pools import GpuWork


async def test_its_worker_says_in_which_numbers_it_computes_and_why(functions: Kernels, first_start: Started) -> None:
    assert functions
    embedder = await asyncio.to_thread(loaded_embedder, first_start.settings, EmbeddingDtype.FLOAT32)
    work = GpuWork(LocalModels({}), LocalEmbedder(embedder), None, "cpu")
    assert work.numerics()[embedder.model_id].text.startswith("not chosen yet")
    await embedder.embed(["x"])
    text = work.numerics()[embedder.model_id].text
    await asyncio.to_thread(embedder.close)
    assert text in {"float32, as PENSTOCK_EMBEDDING_DTYPE says", "float32: nothing here multiplies bfloat16"}


async def test_one_without_kernels_says_that_torch_computes_it(first_start: Started, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object) -> Kernels:
        message = "There is no compiler."
        raise KernelsMissing(message)

    monkeypatch.setattr("gpu.embedder.compile_kernels", missing)
    embedder = await asyncio.to_thread(loaded_embedder, first_start.settings)
    await embedder.embed(["x"])
    await asyncio.to_thread(embedder.close)
    assert embedder.way == "float32 by torch, slower: There is no compiler."


def test_a_wish_for_bfloat16_that_cannot_be_met_ends_the_start(
    functions: Kernels, first_start: Started, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(functions, "ways", (Way.FLOAT32,))
    monkeypatch.setattr("gpu.embedder.compile_kernels", lambda *_: functions)
    with pytest.raises(SettingsError, match="PENSTOCK_EMBEDDING_DTYPE is bfloat16, but this processor"):
        loaded_embedder(first_start.settings, EmbeddingDtype.BFLOAT16)
