"""Nothing rests on the code that torch and its libraries choose here: a part of these tests again, as on other processors.

All tests run under such settings, too: ``ATEN_CPU_CAPABILITY=avx2 make test``.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from core.models.numerics import CHECKED
from tests.conftest import ROOT

PLAIN = {"ATEN_CPU_CAPABILITY": "default", "MKL_CBWR": "COMPATIBLE", "PENSTOCK_TEST_THREADS": "1"}
OLDER = {"ATEN_CPU_CAPABILITY": "avx2", "MKL_ENABLE_INSTRUCTIONS": "AVX2", "ONEDNN_MAX_CPU_ISA": "AVX2", "PENSTOCK_TEST_THREADS": "2"}
STRICT = {"MKL_CBWR": "AVX2,STRICT", "ONEDNN_MAX_CPU_ISA": "SSE41", "PENSTOCK_TEST_THREADS": "2"}
TESTS = (
    "test_causal.py::test_greedy_answers_are_those_of_generate[llama]",
    "test_embedder.py",
    "test_sampler.py",
    "test_engine.py::test_it_answers_a_question",
    "test_engine.py::test_the_same_seed_gives_the_same_answer_beside_others",
    "test_engine.py::test_an_answer_taken_over_anywhere_ends_in_the_very_same_text",
    "test_engine.py::test_what_it_says_of_itself",
    "test_exactness.py::test_what_is_taken_over_from_other_rows_is_the_same_too",
    "test_exactness.py::test_a_small_llama_taken_over_is_the_same_whatever_the_number_of_threads",
)


@pytest.mark.timeout(300)
@pytest.mark.usefixtures("first_start")
@pytest.mark.parametrize("settings", [PLAIN, OLDER, STRICT], ids=["plain", "older", "strict"])
def test_they_hold_where_libraries_choose_other_code_and_the_bits_stay_the_same(made_models: Path, settings: dict[str, str]) -> None:
    kept = {file: file.read_bytes() for file in made_models.rglob(CHECKED)}
    assert kept
    made = subprocess.run(
        (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *(f"tests/gpu/{test}" for test in TESTS)),
        cwd=ROOT,
        env={**os.environ, "PENSTOCK_TEST_MODELS": str(made_models), **settings},  # noqa: TID251 - handing it on
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stdout[-5000:] + made.stderr[-1000:]
    assert {file: file.read_bytes() for file in kept} == kept, "the bits that were found before are found again, so nothing is written anew"
