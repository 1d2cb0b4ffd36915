"""A worker that is started by hand, without the command line."""

import asyncio
import os
import sys
from pathlib import Path

import msgspec

from gpu.environment import CHILD_ENVIRONMENT

ROOT = Path(__file__).parent.parent.parent
LIBRARIES = ("huggingface_hub", "tokenizers", "torch", "transformers")
TELL = "import json, os, sys; sys.stdout.write(json.dumps(dict(os.environ))); sys.stdout.flush(); os._exit(0)"


async def test_a_gpu_worker_sets_what_model_libraries_read_before_it_imports_any(tmp_path: Path) -> None:
    for library in LIBRARIES:  # found before the real ones
        (tmp_path / f"{library}.py").write_text(TELL)
    inherited = {name: value for name, value in os.environ.items() if name not in CHILD_ENVIRONMENT}  # noqa: TID251 - handing it on
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "workers", "gpu"),
        env={**inherited, "PYTHONPATH": f"{tmp_path}:{ROOT}", "PENSTOCK_DATA_DIR": str(tmp_path / "data")},
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    found = msgspec.json.decode(output, type=dict[str, str])
    assert {name: found.get(name) for name in CHILD_ENVIRONMENT} == CHILD_ENVIRONMENT
