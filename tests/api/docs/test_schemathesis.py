"""A short run of schemathesis, over a server with nothing in it and over one that has been used."""

from pathlib import Path

import pytest

from tests.schemathesis import found

SECONDS = 12


@pytest.mark.timeout(240)
@pytest.mark.parametrize("filled", [False, True], ids=["empty", "filled"])
async def test_no_answer_differs_from_what_is_documented(tmp_path: Path, *, filled: bool) -> None:
    code, report = await found(tmp_path, seconds=SECONDS, filled=filled)
    assert code == 0, report
