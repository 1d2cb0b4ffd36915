"""Python below /tmp, as in many a CI job: a call has a /tmp of its own, and Python there all the same."""

import sys
import venv
from pathlib import Path

import pytest

from core.errors import Unavailable
from pipelines.sandbox.outcome import Isolation
from pipelines.sandbox.sandbox import Sandbox
from tests.pipelines.sandbox.calls import call, result

CODE = """
import os
def f(folder):
    import only_here
    open("/tmp/mine", "w").close()
    try:
        open(os.path.join(folder, "x"), "w")
    except OSError as error:
        return [only_here.__doc__, sorted(os.listdir("/tmp")), error.strerror]
"""


@pytest.mark.skipif(not Path("/tmp").exists(), reason="there is no /tmp")  # noqa: S108 - the folder of this test
async def test_packages_below_tmp_can_be_imported_and_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if tmp_path.parts[1] != "tmp":
        pytest.skip("temporary folders are elsewhere here")
    folder = tmp_path / "environment"
    venv.create(folder)
    packages = folder / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    (packages / "only_here.py").write_text('"""found"""')
    monkeypatch.setattr(sys, "prefix", str(folder))
    monkeypatch.setattr(sys, "executable", str(folder / "bin" / "python"))
    try:
        async with Sandbox.open(isolations=[Isolation.BUBBLEWRAP]) as sandbox:
            outcome = await call(sandbox, CODE, folder=str(packages))
    except Unavailable as error:
        pytest.skip(error.detail)
    assert result(outcome) == ["found", sorted({"mine", tmp_path.parts[2]}), "Read-only file system"]
