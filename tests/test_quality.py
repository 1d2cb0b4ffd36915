"""The checks of `make check`, so that whoever runs the tests runs them too."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
BIN = Path(sys.executable).parent
CHECKS = {
    "formatting": ("ruff", "format", "--check", "."),
    "lint": ("ruff", "check", "--output-format", "concise", "."),
    "types": ("mypy",),
    "imports": ("lint-imports",),
}


@pytest.mark.timeout(400)  # mypy without its cache
@pytest.mark.parametrize("check", CHECKS)
def test_the_check_finds_nothing(check: str) -> None:
    program, *words = CHECKS[check]
    found = subprocess.run([str(BIN / program), *words], cwd=ROOT, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout[-10_000:] + found.stderr[-2_000:]
