"""A checkout of this repository with a virtual environment of its own: this one, or one of another build."""

import asyncio
import os
import sys
from pathlib import Path
from typing import Self

import msgspec

ROOT = Path(__file__).parent.parent
LAUNCH = "import json; from gpu.environment import CHILD_ENVIRONMENT; print(json.dumps(CHILD_ENVIRONMENT))"


class Checkout(msgspec.Struct, frozen=True):
    """``python`` runs what stands in ``root``."""

    root: Path
    python: Path

    @classmethod
    def at(cls, root: Path) -> Self:
        """Another build's. Raises SystemExit where it cannot be run."""
        root = root.absolute()
        python = root / ".venv" / "bin" / "python"
        if not python.exists() or not (root / "penstock").is_dir():
            message = f"{root} is no checkout that can be run. Make one: git worktree add {root} COMMIT && make -C {root} setup"
            raise SystemExit(message)
        return cls(root, python)

    def command(self, *words: str) -> tuple[str, ...]:
        """Its Python with these words, started in its folder: modules are looked for there first."""
        return ("env", "-C", str(self.root), str(self.python), *words)

    async def environment(self) -> dict[str, str]:
        """Ours, with what its own launcher adds for a worker of the GPU pool."""
        process = await asyncio.create_subprocess_exec(*self.command("-c", LAUNCH), stdout=asyncio.subprocess.PIPE)
        output, _ = await process.communicate()
        assert process.returncode == 0, self
        return {**os.environ, **msgspec.json.decode(output, type=dict[str, str])}  # noqa: TID251 - handed on to the child


HERE = Checkout(ROOT, Path(sys.executable))
