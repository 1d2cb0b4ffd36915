"""Encoders computed in bfloat16, on processors that multiply it natively."""

import ctypes
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch.nn import functional

from gpu import sources
from gpu.bert_bfloat16 import LINE, aligned, to_bfloat16
from gpu.bert_ways import LEAST_COSINE
from gpu.kernels import FLAGS, HEADER, Kernels, Way, address
from gpu.tokenizer import TOKENIZER_FILE
from tests.gpu.questions import QUESTIONS
from tests.gpu.test_bert import LENGTHS, encoder, texts, write

GELU = """
#include "bfloat16.h"
void each(float *numbers, int64_t count) {
  for (int64_t i = 0; i < count; i += LANES) store(numbers + i, gelu_narrow(load(numbers + i)));
}
"""
NATIVE = [Way.AVX512_BF16, Way.AMX_BF16]


@pytest.fixture(params=NATIVE, ids=lambda way: way.label)
def native(request: pytest.FixtureRequest, functions: Kernels) -> Way:
    """Each way of bfloat16 that this processor has."""
    way: Way = request.param
    if way not in functions.ways:
        pytest.skip(f"this processor, or its system, has no {way.label}")
    return way


def rounded(numbers: torch.Tensor) -> torch.Tensor:
    return numbers.bfloat16().float()


@torch.inference_mode()
def straightforward(folder: Path, ids: list[int], heads: int) -> np.ndarray:
    """Each product's numbers rounded to bfloat16 as gpu/bert_bfloat16.c does, the rest in float32: written out for one text."""
    weights = load_file(folder / "model.safetensors")
    hidden = len(weights["embeddings.LayerNorm.weight"])

    def linear(x: torch.Tensor, name: str) -> torch.Tensor:
        return rounded(x) @ rounded(weights[f"{name}.weight"]).T + weights[f"{name}.bias"]

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        return functional.layer_norm(x, (hidden,), weights[f"{name}.weight"], weights[f"{name}.bias"], 1e-12)

    x = weights["embeddings.word_embeddings.weight"][ids] + weights["embeddings.token_type_embeddings.weight"][0]
    x = norm(x + weights["embeddings.position_embeddings.weight"][: len(ids)], "embeddings.LayerNorm")
    for layer in ("encoder.layer.0", "encoder.layer.1"):
        query, keys, values = (
            rounded(linear(x, f"{layer}.attention.self.{part}")).view(len(ids), heads, -1).transpose(0, 1)
            for part in ("query", "key", "value")
        )
        scores = query @ keys.transpose(1, 2)
        weighed = torch.exp((scores - scores.amax(2, keepdim=True)) * (hidden // heads) ** -0.5)
        seen = (rounded(weighed) @ values / weighed.sum(2, keepdim=True)).transpose(0, 1).reshape(len(ids), hidden)
        x = norm(x + linear(seen, f"{layer}.attention.output.dense"), f"{layer}.attention.output.LayerNorm")
        inner = functional.gelu(linear(x, f"{layer}.intermediate.dense"))
        x = norm(x + linear(inner, f"{layer}.output.dense"), f"{layer}.output.LayerNorm")
    return functional.normalize(x.mean(0), dim=0).numpy()


@pytest.mark.parametrize(("hidden", "heads", "inner"), [(48, 3, 80), (64, 2, 72), (40, 5, 8), (144, 3, 160)])
def test_products_are_of_rounded_numbers_and_the_rest_of_whole_ones_whatever_the_sizes(
    tmp_path: Path, functions: Kernels, native: Way, hidden: int, heads: int, inner: int
) -> None:
    folder = write(tmp_path / "model", hidden=hidden, heads=heads, inner=inner)
    ours = encoder(folder, functions, way=native)(texts(*LENGTHS))
    expected = np.stack([straightforward(folder, text, heads) for text in texts(*LENGTHS)])
    near = (ours * expected).sum(1)  # a sum in another order is now and then rounded to the other neighbour
    assert near.min() > 1 - 1e-5
    assert near.mean() > 1 - 1e-6
    assert (encoder(folder, functions)(texts(*LENGTHS)) * expected).sum(1).mean() < 1 - 1e-5, "nothing was rounded"


def test_the_starters_vectors_are_those_of_float32_up_to_the_fourth_digit(functions: Kernels, native: Way) -> None:
    source = sources.embedder()
    assert source
    tokenizer = Tokenizer.from_file(str(source.path / TOKENIZER_FILE))
    tokenizer.no_padding()
    asked = [*QUESTIONS, *(" ".join(QUESTIONS[first : first + 16]) for first in range(0, 64, 8))]
    ids = [tokenizer.encode(text).ids for text in asked]
    exact, ours = (encoder(source.path, functions, way=way)(ids) for way in (Way.FLOAT32, native))
    assert (exact * ours).sum(1).min() >= LEAST_COSINE
    nearest, also = ((vectors @ vectors.T - 2 * np.eye(len(ids))).argmax(1) for vectors in (exact, ours))
    assert np.mean(nearest == also) > 0.95


def test_every_run_gives_the_same_bits(tmp_path: Path, functions: Kernels, native: Way) -> None:
    folder = write(tmp_path / "model")
    given = [encoder(folder, functions, threads, native) for threads in (1, 2, 5)]
    first = given[0](texts(*LENGTHS))
    assert all(np.array_equal(each(texts(*LENGTHS)), first) for _ in range(20) for each in given)


def test_gelu_is_exact_but_for_what_is_rounded_away(tmp_path: Path, native: Way) -> None:
    del native  # says that there is one
    library = tmp_path / "gelu.so"
    command = (sys.executable, "-m", "ziglang", "cc", *FLAGS, "-mcpu=native", "-Wno-unused-function", f"-I{HEADER.parent}")
    subprocess.run((*command, "-x", "c", "-", "-o", str(library)), input=GELU, text=True, check=True)
    numbers = np.linspace(-16, 16, 16 * 6_001, dtype=np.float32)
    numbers[0] = np.nan
    made = numbers.copy()
    ctypes.CDLL(str(library)).each(ctypes.c_void_p(address(made)), ctypes.c_int64(len(made)))
    assert np.isnan(made[0])
    wanted = [x / 2 * (1 + math.erf(x / math.sqrt(2))) for x in numbers[1:].astype(float)]
    assert (np.abs(made[1:] - wanted) <= 5e-6 * np.abs(numbers[1:])).all()


def test_numbers_are_rounded_to_the_nearest_as_torch_rounds_them() -> None:
    generator = np.random.default_rng(0)
    bits = generator.integers(0, 1 << 32, 1 << 16, dtype=np.uint64).astype(np.uint32)
    halves = (np.arange(1 << 12, dtype=np.uint32) << 16) | 0x3F808000  # in the middle between two
    numbers = np.concatenate([bits, halves]).view(np.float32)
    numbers = numbers[np.isfinite(numbers)]
    theirs = torch.from_numpy(numbers.copy()).bfloat16().view(torch.int16).numpy().view(np.uint16)
    assert np.array_equal(to_bfloat16(numbers), theirs)


def test_room_begins_where_a_line_of_memory_does() -> None:
    for count in (1, 7, 1000):
        room = aligned(count, np.float32)
        assert (len(room), address(room) % LINE) == (count, 0)
