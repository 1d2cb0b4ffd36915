"""bfloat16 is chosen where it is faster and near enough, and not where anything speaks against it."""

from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import pytest

from core.errors import SettingsError
from core.models.embeddings import EmbeddingDtype
from gpu.bert import BertEncoder, Vectors
from gpu.bert_ways import LEAST_COSINE, LEAST_GAIN, Measured, choose_way, measure
from gpu.kernels import Kernels, Way
from tests.gpu.test_bert import encoder, write

WORDS = 101
FAST = Measured(way=Way.AMX_BF16, speed=300, float32_speed=100, cosine=0.99995, is_own=True)


class Encoder(BertEncoder):
    """One that computes float32 only, and says what the test wants of bfloat16. ``away``: of each vector; ``alone``: of a text alone."""

    away = alone = 0.0

    def choose(self, way: Way) -> None:
        self.way = way

    def __call__(self, texts: list[list[int]], threads: int | None = None) -> Vectors:
        made = super().__call__(texts, threads)
        if self.way is not Way.FLOAT32:
            made[:, 0] += self.away + (self.alone if len(texts) == 1 else 0)
        return made


def made(folder: Path, functions: Kernels, ways: Sequence[Way]) -> Encoder:
    given = Encoder(write(folder / "model"), functions, encoder(folder / "model", functions)._threads)
    given.ways = tuple(ways)
    return given


@pytest.mark.parametrize(
    ("change", "is_better"),
    [
        ({}, True),
        ({"speed": LEAST_GAIN * 99}, False),
        ({"cosine": LEAST_COSINE - 0.0001}, False),
        ({"cosine": float("nan")}, False),
        ({"is_own": False}, False),
    ],
    ids=str,
)
def test_it_must_be_faster_and_near_and_a_texts_own(change: dict[str, float], *, is_better: bool) -> None:
    assert msgspec.structs.replace(FAST, **change).is_better is is_better


def test_what_was_measured_is_told(functions: Kernels, tmp_path: Path) -> None:
    if functions.ways == (Way.FLOAT32,):
        pytest.skip("this processor, or its system, multiplies bfloat16 in no way")
    native = functions.ways[-1]
    given = encoder(write(tmp_path / "model"), functions)
    found = measure(given, native, WORDS)
    assert given.way is native
    assert found.cosine > 0.999
    assert found.is_own
    assert min(found.speed, found.float32_speed) > 0
    told = choose_way(given, WORDS, EmbeddingDtype.BFLOAT16)
    assert told.startswith(f"bfloat16, as PENSTOCK_EMBEDDING_DTYPE says ({native.label} ")
    assert given.way is native
    told = choose_way(given, WORDS, EmbeddingDtype.AUTO)
    assert told.startswith("bfloat16 (" if given.way is native else "float32 (")
    assert "tokens per CPU-second, cosine 0.999" in told


def test_a_setting_decides_without_measuring(functions: Kernels, tmp_path: Path) -> None:
    given = made(tmp_path, functions, list(Way))
    given.choose = pytest.fail  # type: ignore[method-assign, assignment]
    assert choose_way(given, WORDS, EmbeddingDtype.FLOAT32) == "float32, as PENSTOCK_EMBEDDING_DTYPE says"


def test_where_nothing_multiplies_bfloat16_it_is_float32_and_a_wish_for_more_is_refused(functions: Kernels, tmp_path: Path) -> None:
    given = made(tmp_path, functions, [Way.FLOAT32])
    for dtype in (EmbeddingDtype.AUTO, EmbeddingDtype.FLOAT32):
        assert choose_way(given, WORDS, dtype) == "float32: nothing here multiplies bfloat16"
    with pytest.raises(SettingsError, match="has neither AMX-BF16 nor AVX512-BF16"):
        choose_way(given, WORDS, EmbeddingDtype.BFLOAT16)


@pytest.mark.parametrize(("away", "alone", "said"), [(0.1, 0.0, "cosine 0."), (0.0, 1e-6, "other bits beside other texts")])
def test_vectors_that_are_wrong_are_not_taken_however_fast_they_come(
    functions: Kernels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, away: float, alone: float, said: str
) -> None:
    given = made(tmp_path, functions, list(Way))
    given.away, given.alone = away, alone
    monkeypatch.setattr("gpu.bert_ways.LEAST_GAIN", 0.0)
    told = choose_way(given, WORDS, EmbeddingDtype.AUTO)
    assert told.startswith("float32 (AMX-BF16 ")
    assert said in told
    assert given.way is Way.FLOAT32
    given.away = given.alone = 0.0
    assert np.isfinite(measure(given, Way.AMX_BF16, WORDS).speed)
    assert choose_way(given, WORDS, EmbeddingDtype.AUTO).startswith("bfloat16 (AMX-BF16 ")
